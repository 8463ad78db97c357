"""Tables of a benchmark's results, in Markdown."""


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def number(value):
    return f"{value:.2f}" if value < 20 else f"{value:.0f}"


def spread(values):
    """Median, least and greatest."""
    if not values:
        return "-"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}-{number(max(values))})"


def size(count):
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if abs(count) >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


GROUPS = [
    ("native", "Loads on malloc"),
    ("program", "Unmodified programs, the library preloaded"),
    ("cgo", "cgo programs"),
]


def loads_tables(results):
    parts, reasons = [], {}
    for group, title in GROUPS:
        rows = [row for row in results["loads"] if row["group"] == group]
        if not rows:
            continue
        keys = [key for key in rows[0]["arms"] if key != "glibc"]
        head = ["load"] + [rows[0]["arms"][key]["title"] for key in keys]
        body = []
        for row in rows:
            cells = [row["load"]]
            for key in keys:
                arm = row["arms"][key]
                cells.append(spread(arm.get("ratios", [])))
                if arm.get("unable"):
                    reasons.setdefault(f"{arm['title']}: {arm['unable']}", []).append(row["load"])
            body.append(cells)
        parts.append(f"### {title}\n\n" + table(head, body))
    if reasons:
        lines = "\n".join(f"- {why} ({', '.join(sorted(set(where)))})" for why, where in reasons.items())
        parts.append("Not run, and why:\n\n" + lines + "\n")
    return "\n".join(parts)


def pairs_table(results):
    """What a pair of malloc and free costs more than on the same allocator bare, in nanoseconds."""
    rows, head = [], None
    for row in results["loads"]:
        if row["group"] != "native" or not row["load"].startswith("pair"):
            continue
        arms = [arm for key, arm in row["arms"].items() if key in ("whole", "header", "off", "jemalloc_prof")]
        head = ["load", "glibc, ns a pair"] + [f"{arm['title']}: added" for arm in arms]
        threads = int(row["load"].split(", ")[1].split()[0])

        def nanos(arm, size):
            return [1e9 * cpu / size / threads for cpu, of in zip(arm["cpu"], arm["rounds"]) if of == size]

        size = row["arms"]["glibc"]["rounds"][0] if row["arms"]["glibc"]["rounds"] else 1
        cells = [row["load"], f"{median(nanos(row['arms']['glibc'], size) or [0]):.2f}"]
        for arm in arms:
            added = [a - b for a, b in zip(nanos(arm, size), nanos(row["arms"][arm["base"]], size))]
            cells.append(f"{median(added):+.2f}" if added else "-")
        rows.append(cells)
    return "### Nanoseconds added to a pair\n\n" + table(head, rows) if rows else ""


PEERS = ("jemalloc_prof", "tcmalloc_prof", "heaptrack", "massif", "asan")


def added(row, key):
    """CPU time that a profiler adds to a load, in per cent of the load on glibc, for each round that both ran. Unlike the ratio
    it doesn't depend on how fast the profiler's own allocator is without it."""
    arms = row["arms"]
    if not arms.get(key, {}).get("rounds"):
        return []
    size = arms[key]["rounds"][0]
    own, base, glibc = (
        [cpu for cpu, of in zip(arm["cpu"], arm["rounds"]) if of == size]
        for arm in (arms[key], arms[arms[key]["base"]], arms["glibc"])
    )
    return [100 * (a - b) / c for a, b, c in zip(own, base, glibc)]


def less(theirs, ours):
    """Whether one figure is less than another, and not by chance: each one's median lies outside the other's spread."""
    return bool(theirs and ours) and max(theirs) < median(ours) and median(theirs) < min(ours)


def peers_ahead(results):
    """Loads in which a peer costs less than we do: by the ratio, or by the CPU time that it adds."""
    for row in results["loads"]:
        ratios, time = row["arms"]["whole"].get("ratios"), added(row, "whole")
        for key in PEERS:
            by_ratio = less(row["arms"].get(key, {}).get("ratios"), ratios)
            by_time = less(added(row, key), time)
            if by_ratio or by_time:
                yield row, key, by_ratio, by_time


def peers_table(results):
    rows = []
    for row, key, by_ratio, by_time in peers_ahead(results):
        arm = row["arms"][key]
        rows.append([
            row["load"], arm["title"], number(median(arm["ratios"])), number(median(row["arms"]["whole"]["ratios"])),
            f"{median(added(row, key)):+.1f} %", f"{median(added(row, 'whole')):+.1f} %",
            {(True, True): "both", (True, False): "ratio", (False, True): "time added"}[by_ratio, by_time],
        ])
    return table(["load", "peer", "its ratio", "ours", "its added CPU time", "ours", "ahead by"], rows) if rows else ""


def http_table(results):
    rows = []
    for row in results["loads"]:
        for arm in row["arms"].values():
            if arm.get("requests_per_second"):
                rows.append([
                    row["load"], arm["title"], f"{median(arm['requests_per_second']):,.0f}",
                    f"{median(arm['p99_us']):,.0f}" if arm.get("p99_us") else "-",
                ])
    return table(["load", "with", "requests per second", "p99, microseconds"], rows) if rows else ""


def depth_table(results):
    rows = []
    for row in results["depth"]:
        if row.get("unable"):
            rows.append([row["label"], row["unable"], "", ""])
        else:
            rows.append([row["label"]] + [
                f"{median([run[name] for run in row['runs']]):,.0f}" for name in ("warm_ns", "cold_ns", "cold_free_ns")
            ])
    return table(["stack", "warm: malloc and free, ns", "cold: malloc, ns", "cold: free, ns"], rows) if rows else ""


def snapshot_table(results):
    rows = []
    for row in results["snapshot"]:
        if row.get("unable"):
            rows.append([f"{row['live']:,}", f"{row['stacks']:,}", row["unable"]] + [""] * 6)
            continue
        rows.append([
            f"{row['live']:,}", f"{row['stacks']:,}", f"{row['take_ms']:.1f}", f"{row['encode_ms']:.1f}",
            f"{row['first_encode_ms']:.0f}", size(row["profile_bytes"]), size(row["gzip_bytes"]),
            f"{size(row['peak_extra_bytes'])} ({row['peak_extra_bytes'] / row['profile_bytes']:.1f} times)",
            f"{row['pair_alone']['p999_us']} / {row['pair_during']['p999_us']}",
        ])
    return table(["live samples", "stacks", "copy, ms", "encode, ms", "first encode with names, ms", "profile", "gzipped",
                  "peak extra memory", "p99.9 of a pair, alone / during, microseconds"], rows) if rows else ""


def locks_table(results):
    rows = [[f"{row['live']:,}", f"{row['snapshots']:,}", f"{row['p50_us']:.1f}", f"{row['p999_us']:.1f}", f"{row['max_us']:.1f}"]
            for row in results["locks"]]
    return table(["live samples", "snapshots", "median hold, CPU microseconds", "p99.9", "longest"], rows) if rows else ""


def pauses_table(results):
    rows = [[row["threads"], "yes" if row["profiles"] else "no", f"{row['pairs']:,}", f"{row['cpu_us']:.0f}", f"{row['queue_us']:.0f}",
             f"{row['lock_us']:.0f}", row["locks_over_2ms"]] for row in results.get("pauses", []) if "unable" not in row]
    return table(["threads", "snapshots", "pairs", "longest own doing, microseconds", "wait for a processor", "wait for a lock",
                  "waits for a lock above 2 ms"], rows) if rows else ""


def symbolise_table(results):
    rows = []
    for row in results["symbolise"]:
        if row.get("unable"):
            rows.append([row["label"], row["unable"], "", "", "", ""])
            continue
        runs = row["runs"]
        rows.append([row["label"], size(row["file_bytes"])] + [
            f"{median([run['first']['ms'] for run in runs]):.0f}",
            f"{size(median([run['first']['transient'] for run in runs]))} / {size(median([run['first']['kept'] for run in runs]))}",
            f"{median([run['second']['ms'] for run in runs]):.1f}", f"{median([run['new_address']['ms'] for run in runs]):.0f}",
        ])
    return table(["program", "file", "first profile, ms", "memory: transient / kept", "second profile, ms",
                  "with one new address, ms"], rows) if rows else ""


def memory_table(results):
    rows = []
    for row in results["memory"]:
        if row.get("unable"):
            rows.append([f"{row['size']} B", row["unable"], "", "", ""])
            continue
        runs = row["runs"]
        growth, plain = median([run["growth_bytes"] for run in runs]), median([run["plain_bytes"] for run in runs])
        rows.append([f"{row['size']} B", size(plain), f"{size(growth)} ({100 * growth / plain:+.2f} %)",
                     size(median([run["own_bytes"] for run in runs])), f"{median([run['live_samples'] for run in runs]):,.0f}"])
    return table(["blocks", "resident without", "growth", "mapped for tables", "live samples"], rows) if rows else ""


def truth_table(results):
    rows = [[row[0], row[1], row[2]] + (row[3:] if len(row) > 3 else ["", "", ""]) for row in results["truth"]]
    return table(["sizes", "of", "N", "mean z", "variance of z", "95 % interval holds, %"], rows) if rows else ""


def ratio(results, group, names, arm="whole"):
    """The worst median among some loads."""
    worst = None
    for row in results["loads"]:
        values = row["arms"].get(arm, {}).get("ratios")
        if row["group"] == group and row["load"].startswith(names) and values:
            found = (median(values), f"{row['load']}: {spread(values)}")
            worst = max(worst, found) if worst else found
    return worst


def targets(results):
    """What is asked for, the limit, what was seen (a number and how to say it), as far as it was measured."""
    lines = results.get("instructions", [])
    over = [float(line.split()[2]) for line in lines if line.startswith("interpose") and line.split()[1] == "malloc"]
    yield "unsampled pair, instructions over glibc, whole process", 16, (over[0], f"{over[0]:.0f}") if over else None
    yield "tight pair of 64 bytes", 1.10, ratio(results, "native", ("pair64, 1 ",))
    yield "batch of 10,000 mixed blocks", 1.05, ratio(results, "native", ("batch",))
    yield "malloc-heaviest programs", 1.03, ratio(results, "program", ("lua", "perl", "ghost", "gcc", "redis"))
    yield "go-sqlite3, zstd, tree-sitter", 1.01, ratio(results, "cgo", ("sqlite", "zstd", "tree"))
    if results["loads"]:
        behind = [row["load"] for row, _, _, by_time in peers_ahead(results) if by_time and not row["load"].startswith("pair")]
        yield "loads but pairs in which a peer adds less CPU time", 0, (len(behind), "; ".join(behind) or "none")
    for row in results["depth"]:
        if row["label"].startswith("32 C frames and") and row.get("runs"):
            for name, limit in (("warm", 1000), ("cold", 10000)):
                seen = median([run[f"{name}_ns"] for run in row["runs"]])
                yield f"one sample, 32 C and 10 Go frames, {name}, ns", limit, (seen, f"{seen:,.0f}")
    for row in results["snapshot"]:
        if row["live"] == 100_000 and "encode_ms" in row:
            yield "snapshot of 100,000 live samples and 10,000 stacks encoded, ms", 150, (row["encode_ms"], f"{row['encode_ms']:.0f}")
            times = row["peak_extra_bytes"] / row["profile_bytes"]
            yield "its peak extra memory, times the profile", 4, (times, f"{times:.1f}")
    for row in results["locks"]:
        if row["live"] == 100_000:
            yield "longest hold of a lock, p99.9, CPU microseconds", 100, (row["p999_us"], f"{row['p999_us']:.1f}")
    for row in results["symbolise"]:
        if row["label"] == "200 MB" and row.get("runs"):
            seen = median([run["first"]["ms"] for run in row["runs"]])
            yield "first profile in a 200 MB program, ms", 2000, (seen, f"{seen:,.0f}")
    for row in results["memory"]:
        if row.get("runs"):
            growth, plain = (median([run[name] for run in row["runs"]]) for name in ("growth_bytes", "plain_bytes"))
            allowed = 0.01 * plain + 4 * 2**20
            yield f"growth of RSS, {size(row['live_bytes'])} live in blocks of {row['size']}", allowed, (growth, size(growth))


def targets_table(results):
    rows = []
    for what, limit, seen in targets(results):
        limit_text = size(limit) if limit > 10**6 else f"{limit:,}"
        if seen is None:
            rows.append([what, limit_text, "not measured", ""])
        else:
            rows.append([what, limit_text, seen[1], "met" if seen[0] <= limit else "missed"])
    return table(["target", "at most", "seen", ""], rows)


OVERVIEW_LOADS = ("pair64, 1 ", "batch, 1 ", "larson, 8 ", "alloctest, 1 ", "lua", "perl", "ghost", "gcc", "redis", "sqlite",
                  "zstd", "tree", "http")
SHORT_LOADS = ("pair64, 1 ", "batch, 1 ", "redis", "sqlite", "http")


def overview_table(results, loads=OVERVIEW_LOADS, peers=PEERS):
    """The loads that say most, against the peers: what a profiler makes of the same allocator without it."""
    keys = ("whole", *peers)
    titles = {}
    rows = []
    for row in results["loads"]:
        if row["load"].startswith(loads):
            arms = row["arms"]
            titles.update({key: arms[key]["title"] for key in keys if key in arms})
            ratios = [arms.get(key, {}).get("ratios") for key in keys]
            rows.append([row["load"]] + [number(median(values)) if values else "-" for values in ratios])
    return table(["CPU time, times that without"] + [titles.get(key, key) for key in keys], rows)


def short_table(results):
    """The same in five lines, beside the peers that people know."""
    return overview_table(results, SHORT_LOADS, ("jemalloc_prof", "heaptrack", "asan"))


# What a whole run writes into the documents: file, name of the markers, table.
DOCUMENTS = (
    ("README.md", "short", short_table),
    ("docs/overhead.md", "targets", lambda results: targets_table(results)),
    ("docs/overhead.md", "overview", overview_table),
)


def between_markers(text, name, block):
    """`text` with `block` in place of what stood between the markers of that name."""
    begin, end = f"<!-- bench {name}: written by make bench -->", f"<!-- /bench {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {begin} ... {end}")
    return f"{before}{begin}\n\n{block.rstrip()}\n\n{end}{after}"


def write_documents(root, results, stem):
    """Puts the figures of a whole run where they are claimed."""
    for file, name, table_of in DOCUMENTS:
        path = root / file
        text = f"From bench/results/{stem}.md, `make bench`.\n\n{table_of(results)}"
        path.write_text(between_markers(path.read_text(), name, text))


def report(results):
    machine = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    parts = [
        f"# Benchmark of {results['date']}, commit {results['commit']}{' with changes' if results['changed'] else ''}\n",
        f"`make bench`{' with BENCH_QUICK=1' if results['quick'] else ''}, {results['seconds']} s, of which setting up took "
        f"{results['setup_seconds']} s.\n",
        f"{machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, {machine['libc']}; {machine['go']}; "
        f"{machine['rust']}; {machine['gcc']}. Load average before {machine['load_before']:.1f}, after "
        f"{machine['load_after']:.1f}: above the number of cores at the end, the figures are noisy. {packages}.\n",
        "Figures are ratios of CPU time (user and system, whole process, start-up and children included), as median and, in "
        "brackets, least and greatest of interleaved rounds. cgoheap, heaptrack, massif and ASan are compared with the same "
        "program on glibc; jemalloc and tcmalloc bare with glibc too, their profilers with themselves bare.\n",
        "## Targets\n\n" + targets_table(results),
        "## Loads\n\n" + loads_tables(results),
        pairs_table(results),
        http_table(results),
    ]
    for title, text in (
        ("Loads in which a peer is ahead", peers_table(results) and (
            "Ratios are to the peer's own allocator without its profiler; added CPU time is in per cent of the load on glibc, the "
            "same for all. Named are differences that are larger than the spread of the rounds.\n\n" + peers_table(results))),
        ("One sample by depth of stack", depth_table(results)),
        ("Snapshots while another thread allocates", snapshot_table(results)),
        ("How long a snapshot holds a lock that a hook can wait for", locks_table(results)),
        ("The longest malloc while snapshots are taken", pauses_table(results)),
        ("First profile in a large Go program", symbolise_table(results)),
        (f"Memory at the default rate, {size(results['memory'][0]['live_bytes'])} live" if results["memory"] else "", memory_table(results)),
        ("Truth: errors of the estimates over their standard deviation", truth_table(results)),
        ("Instructions", "\n".join("- " + line for line in results["instructions"])),
        ("Notes", "\n".join("- " + note for note in results["notes"])),
    ):
        if text:
            parts.append(f"## {title}\n\n{text}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)
