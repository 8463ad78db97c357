#!/usr/bin/env python3
"""Estimates against an exact ledger: cgoheap, jemalloc and gperftools, by one program. Writes docs/truth.md.

For each mix of sizes, one thread and four, and each seed, bench/truth.cc runs once under each profiler. Its profile is
read and unsampled by the formula that the profiler's own viewer (jeprof, pprof) uses, its values are added up by site, and
the error is divided by its standard deviation as theory gives it from the ledger.

    TRUTH_SEEDS=200     how many seeds; about ten minutes of CPU time for 200
"""

import datetime
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
SEEDS = int(os.environ.get("TRUTH_SEEDS", "200"))
RATE = 4096
SITES = 4
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
MIXES = [
    "8 bytes", "16 to 256, uniform", "the rate", "1/16 to 4 rates, uniform", "16 bytes and 8 rates, bimodal",
    "half a rate and 32 bytes, bimodal", "8 to 100 rates, heavy tail", "100 rates",
]


def build():
    BUILD.mkdir(parents=True, exist_ok=True)
    flags = ["-O2", "-fno-builtin-malloc", "-fno-builtin-free", "-pthread", "-I", ROOT / "include", "-DCGOHEAP_NO_REDIRECT"]
    source, archive = ROOT / "bench/truth.cc", ROOT / "go/internal/lib/linux_amd64/libcgoheap.a"
    for command in (
        ["g++", *flags, "-o", BUILD / "truth-peer", source, "-ldl", "-lm"],
        ["gcc", *flags, "-DCAPTURE", "-c", "-o", BUILD / "truth-decide.o", ROOT / "go/interpose/decide.c"],
        ["gcc", *flags, "-DCAPTURE", "-c", "-o", BUILD / "truth-glibc.o", ROOT / "go/interpose/glibc.c"],
        ["g++", *flags, "-o", BUILD / "truth-cgoheap", source, BUILD / "truth-decide.o", BUILD / "truth-glibc.o", archive, "-ldl", "-lm"],
    ):
        subprocess.run(command, check=True)


def unsample(count, size):
    """What jeprof and pprof do with a line of a heap_v2 profile."""
    if count == 0:
        return 0.0, 0.0
    scale = 1 / (1 - math.exp(-size / count / RATE))
    return count * scale, size * scale


# inuse objects: inuse bytes [alloc objects: alloc bytes]
NUMBERS = re.compile(r"\s*(\d+):\s*(\d+)\s*\[\s*(\d+):\s*(\d+)\]\s*@")


def read_exact(text):
    """cgoheap's text, which is unsampled already, and gperftools' heap profiler, which records every block: lines with numbers
    and addresses. Also the margin of a stack's bytes in use, where one is given."""
    for line in text.splitlines():
        if (match := NUMBERS.match(line)) and "@ 0x" in line:
            numbers = [float(n) for n in match.groups()]
            addresses = [int(a, 16) for a in line.split("@")[1].split()]
            yield addresses, numbers, None
        elif match := re.match(r"#\s*inuse_bytes = \d+ \+- (\d+)", line):
            yield addresses, [0.0] * 4, float(match[1])


def read_gperftools(text):
    for addresses, (objects, size, _, _), _ in read_exact(text):
        yield addresses, [*unsample(objects, size), math.nan, math.nan], None


def read_jemalloc(text):
    addresses = None
    for line in text.splitlines():
        if line.startswith("@"):
            addresses = [int(a, 16) for a in line[1:].split()]
        elif addresses and (match := re.match(r"\s*t\*: (\d+): (\d+) \[(\d+): (\d+)\]", line)):
            live_objects, live, objects, size = (int(n) for n in match.groups())
            yield addresses, [*unsample(live_objects, live), *unsample(objects, size)], None


class Profiler:
    """One way to run the program. `usable`: it counts what malloc makes of a size, and is compared with that."""

    def __init__(self, name, binary, read, env, preload=None, usable=False, output=None):
        self.name, self.binary, self.read, self.env = name, binary, read, env
        self.preload, self.usable, self.output = preload, usable, output

    def run(self, mix, threads, seed, folder):
        """The ledger, and the estimates by site: objects and bytes, live and total, and the margin of live bytes."""
        profile = f"{folder}/profile"
        env = {**os.environ, **{key: value.replace("FOLDER", folder) for key, value in self.env.items()}}
        if self.preload:
            env["LD_PRELOAD"] = self.preload
        command = [BUILD / self.binary, str(mix), str(threads), str(seed), str(RATE), profile]
        out = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        code, exact = {}, {}
        for words in map(str.split, out.splitlines()):
            if words[0] == "site":
                code[int(words[1])] = range(int(words[2], 16), int(words[3], 16) + 1)
            elif words[2] == ("usable" if self.usable else "requested"):
                exact[words[0], int(words[1])] = [float(n) for n in words[3:]]
            if words[0] != "site" and words[2] == "requested":
                exact["asked", words[0], int(words[1])] = float(words[4])
        estimates = {site: [0.0] * 4 for site in code}
        margins = dict.fromkeys(code)
        with open(f"{folder}/{self.output}" if self.output else profile) as file:
            text = file.read()
        for addresses, values, margin in self.read(text):
            for site, at in code.items():
                if any(address in at for address in addresses):
                    estimates[site] = [a + b for a, b in zip(estimates[site], values)]
                    if margin is not None:
                        # Several stacks of a site: their variances add up.
                        margins[site] = math.hypot(margins[site] or 0.0, margin)
        return exact, estimates, margins


PROFILERS = [
    Profiler("cgoheap", "truth-cgoheap", read_exact, {}),
    Profiler("jemalloc", "truth-peer", read_jemalloc, {"MALLOC_CONF": "prof:true,prof_accum:true,lg_prof_sample:12"},
             LIBRARIES + "libjemalloc.so.2", usable=True),
    Profiler("gperftools", "truth-peer", read_gperftools, {"TCMALLOC_SAMPLE_PARAMETER": str(RATE)},
             LIBRARIES + "libtcmalloc.so.4"),
]
HEAP_PROFILER = Profiler("gperftools' heap profiler", "truth-peer", read_exact, {"HEAPPROFILE": "FOLDER/all"},
                         LIBRARIES + "libtcmalloc.so.4", output="all.0001.heap")


class Cell:
    """Errors of one quantity: a mix, a number of threads, a profiler."""

    def __init__(self):
        self.z, self.held, self.compared, self.estimate, self.exact, self.asked, self.wrong = [], 0, 0, 0.0, 0.0, 0.0, 0.0

    def add(self, estimate, exact, variance, margin, asked):
        self.estimate += estimate
        self.exact += exact
        self.asked += asked
        if variance < 1e-6:  # blocks so large that each is sampled
            self.wrong = max(self.wrong, abs(estimate - exact))
            return
        self.z.append((estimate - exact) / math.sqrt(variance))
        if margin is not False:
            self.compared += 1
            self.held += abs(estimate - exact) <= (margin or 0.0)

    def figures(self):
        n = len(self.z)
        mean = sum(self.z) / n
        return mean, sum((z - mean) ** 2 for z in self.z) / (n - 1), 3 / math.sqrt(n)

    def right(self):
        if not self.z:
            return self.wrong < 0.5
        mean, variance, limit = self.figures()
        return abs(mean) < limit and 0.8 <= variance <= 1.25

    def text(self):
        if math.isnan(self.estimate):
            return "-"
        error = 100 * (self.estimate / self.exact - 1)
        if not self.z:
            return "exact" if self.right() else f"**{error:+.1f} %**"
        mean, variance, _ = self.figures()
        text = f"{error:+.1f} %, {mean:+.2f}, {variance:.2f}"
        return text if self.right() else f"**{text}**"

    def coverage(self):
        return 100 * self.held / self.compared if self.compared else None


QUANTITIES = [("live", 0, "blocks in use"), ("live", 1, "bytes in use"), ("total", 0, "blocks, total"), ("total", 1, "bytes, total")]


def measure():
    cells = {}
    with tempfile.TemporaryDirectory(prefix="cgoheap-truth-") as folder:
        for mix, name in enumerate(MIXES):
            for threads in (1, 4):
                for profiler in PROFILERS:
                    row = [Cell() for _ in QUANTITIES]
                    for seed in range(1, SEEDS + 1):
                        exact, estimates, margins = profiler.run(mix, threads, seed, folder)
                        for site in range(SITES):
                            for i, (kind, bytes_too, _) in enumerate(QUANTITIES):
                                objects, size, objects_variance, size_variance = exact[kind, site]
                                margin = margins[site] if profiler.name == "cgoheap" and i == 1 else False
                                row[i].add(estimates[site][i], (objects, size)[bytes_too],
                                           (objects_variance, size_variance)[bytes_too], margin, exact["asked", kind, site])
                    cells[mix, threads, profiler.name] = row
                print(f"{name}, {threads}: " + "; ".join(
                    f"{p.name} {cells[mix, threads, p.name][0].text()} | {cells[mix, threads, p.name][1].text()}"
                    for p in PROFILERS), file=sys.stderr, flush=True)
    return cells


def heap_profiler_is_exact():
    """Every block is recorded, so any difference at all is an error."""
    with tempfile.TemporaryDirectory(prefix="cgoheap-truth-") as folder:
        for mix in range(len(MIXES)):
            for threads in (1, 4):
                exact, estimates, _ = HEAP_PROFILER.run(mix, threads, 1, folder)
                for site in range(SITES):
                    if estimates[site] != [*exact["live", site][:2], *exact["total", site][:2]]:
                        return False
    return True


def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return "?"


def report(cells, exact):
    n = SEEDS * SITES
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    package = {name: first_line(["dpkg-query", "-W", "-f", "${Version}", name]) for name in ("libjemalloc2", "libgoogle-perftools4")}
    lines = [
        "# Truth: estimates against an exact ledger", "",
        f"Written by `make truth` on {datetime.date.today()} at commit {first_line(['git', 'rev-parse', '--short=12', 'HEAD'])}: "
        f"{SEEDS} seeds, {SITES} sites, rate {RATE}, {cpu}, Linux {platform.release()}. jemalloc {package['libjemalloc2']} "
        f"(`prof:true,prof_accum:true,lg_prof_sample:12`) and gperftools {package['libgoogle-perftools4']} "
        f"(`TCMALLOC_SAMPLE_PARAMETER={RATE}`) are Debian's packages. All of them profile the same program, "
        "`bench/truth.cc`, with the same sizes in the same order; half of the blocks are freed again. What is sampled is drawn "
        "anew in each run.", "",
        "A cell is: the error of all seeds together; the mean of the errors, each in units of the standard deviation that theory "
        f"gives it (z); the variance of z. Right is a mean within 3/√{n} = {3 / math.sqrt(n):.2f} of 0 and a variance between 0.8 "
        "and 1.25: what is not is **bold**. Correct code misses a mean once in 370 cells; the variance of a normal "
        f"distribution has a deviation of √(2/{n}) = {math.sqrt(2 / n):.2f} here.", "",
    ]
    for kind, title, profilers in (("live", "In use", PROFILERS), ("total", "Total", PROFILERS[:2])):
        columns = [i for i, quantity in enumerate(QUANTITIES) if quantity[0] == kind]
        heads = [f"{p.name}, {('blocks', 'bytes')[QUANTITIES[i][1]]}" for i in columns for p in profilers]
        if kind == "live":
            heads.append("cgoheap: 95 % interval holds")
        lines += [f"## {title}", "", "| sizes | threads | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
        for mix, name in enumerate(MIXES):
            for threads in (1, 4):
                texts = [cells[mix, threads, p.name][i].text() for i in columns for p in profilers]
                if kind == "live":
                    coverage = cells[mix, threads, "cgoheap"][1].coverage()
                    texts.append("exact" if coverage is None else f"{coverage:.1f} %" if 92 <= coverage <= 98 else f"**{coverage:.1f} %**")
                lines.append(f"| {name} | {threads} | " + " | ".join(texts) + " |")
        lines.append("")
    lines += ["## What it says", ""]
    for p in PROFILERS:
        own = [(cell, QUANTITIES[i][2], MIXES[mix], threads) for (mix, threads, name), row in cells.items() if name == p.name
               for i, cell in enumerate(row) if not math.isnan(cell.estimate)]
        wrong = [cell for cell in own if not cell[0].right()]
        worst, what, mix, threads = max(own, key=lambda cell: abs(cell[0].estimate / cell[0].exact - 1))
        lines.append(f"- **{p.name}**: {len(wrong)} of {len(own)} cells are off. The largest error is "
                     f"{100 * (worst.estimate / worst.exact - 1):+.1f} %: {what}, {mix}, {threads} thread{'s' * (threads > 1)}.")
    asked = max((row[1].estimate / row[1].asked - 1) for (_, _, name), row in cells.items() if name == "jemalloc")
    lines += [
        "",
        "jemalloc counts the size that it makes of a request, and is compared with that here; against the bytes that the program asked "
        f"for it is up to {100 * asked:.0f} % higher. It corrects what it writes (`prof_unbias`), since its viewer unsamples the mean "
        "size of a stack only. gperftools' errors go with the difference between a size and its size class, as if it charged "
        "the one and were unsampled by the other; it says nothing about totals, and samples nothing of the main thread's first "
        "16 MiB, which this program therefore allocates beforehand.", "",
        "gperftools' heap profiler (`HEAPPROFILE`) records every block: it agrees with the ledger to the byte, at the price that "
        "`make bench` shows." if exact else "gperftools' heap profiler (`HEAPPROFILE`) records every block, yet differs from the ledger.", "",
        "No other profiler gives an interval. For cgoheap's totals, for the default rate and for 2,000 seeds: `tests/truth.rs`. "
        "nsrip-dd/cmemprof is missing: the Go module proxy that the tests are run with refuses it.", "",
    ]
    (ROOT / "docs/truth.md").write_text("\n".join(lines))


for p in PROFILERS[1:]:
    if not pathlib.Path(p.preload).exists():
        sys.exit(f"truth: {p.preload} is missing: make truth installs it, or sudo apt-get install libjemalloc2 libgoogle-perftools4")
build()
exact = heap_profiler_is_exact()
report(measure(), exact)
