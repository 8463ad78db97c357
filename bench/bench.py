#!/usr/bin/env python3
"""The benchmark: cgoheap and its peers, each against the same program without it.

Every figure is a ratio of CPU time, user and system, of the whole process with its children. Runs are interleaved: one round
runs each arm once, one after the other, and the ratio is taken within a round, so that a machine that slows down slows down
both. A row that can't run says why, and the report goes on. bench.sh sets up and starts this.

    BENCH_QUICK=1       about four minutes: fewer rounds, no large binary, no row with the header for the cgo loads
    BENCH_ONLY=a,b      only these parts: see PARTS at the end
"""

import ctypes
import datetime
import gzip
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
TESTS = ROOT / "bench"
ARCHIVE = ROOT / "go/internal/lib/linux_amd64/libcgoheap.a"
QUICK = os.environ.get("BENCH_QUICK", "") not in ("", "0")
ROUNDS = 3 if QUICK else 5
RUN_SECONDS = 0.12 if QUICK else 0.3  # CPU time of one run without anything
SLOW_SHARE = 0.1  # of that, for arms that are many times slower
TIMEOUT = 60

LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
JEMALLOC, TCMALLOC = LIBRARIES + "libjemalloc.so.2", LIBRARIES + "libtcmalloc.so.4"
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
PRELOAD = BUILD / "libpreload.so"

scratch = pathlib.Path(tempfile.mkdtemp(prefix="cgoheap-bench-"))


class Unable(Exception):
    """Why a row can't be run."""


class Arm:
    """One way to run a load. Its figure is the ratio to the arm `base`."""

    def __init__(self, key, title, base="glibc", build=None, env=None, preload=None, wrap=None, slow=False):
        self.key, self.title, self.base = key, title, base
        self.build = build or "plain"  # of loads that we compile
        self.env, self.preload, self.wrap, self.slow = env or {}, preload, wrap or [], slow

    def missing(self):
        if self.preload and not pathlib.Path(self.preload.split(":")[0]).exists():
            return f"{self.preload} is not installed"
        if self.wrap and shutil.which(self.wrap[0]) is None:
            return f"{self.wrap[0]} is not installed"
        return None


RATE = {"CGOHEAP": "rate=512KiB"}
OFF = {"CGOHEAP": "rate=0"}
ALL = {"CGOHEAP": "rate=1"}
JEPROF = {"MALLOC_CONF": f"prof:true,prof_active:true,lg_prof_sample:19,prof_prefix:{scratch}/je"}
TCPROF = {"HEAPPROFILE": f"{scratch}/tc", "HEAP_PROFILE_ALLOCATION_INTERVAL": "0", "HEAP_PROFILE_INUSE_INTERVAL": "0"}
HEAPTRACK = ["heaptrack", "-o", f"{scratch}/heaptrack"]
MASSIF = ["valgrind", "-q", "--tool=massif", f"--massif-out-file={scratch}/massif"]

PEERS = [
    Arm("jemalloc", "jemalloc", preload=JEMALLOC),
    Arm("jemalloc_prof", "jemalloc prof:true, 512 KiB", base="jemalloc", preload=JEMALLOC, env=JEPROF),
    Arm("tcmalloc", "tcmalloc", preload=TCMALLOC),
]
SLOW_PEERS = [
    Arm("tcmalloc_prof", "gperftools heap profiler", base="tcmalloc", preload=TCMALLOC, env=TCPROF, slow=True),
    Arm("heaptrack", "heaptrack", wrap=HEAPTRACK, slow=True),
    Arm("massif", "valgrind massif", wrap=MASSIF, slow=True),
]
ASAN = Arm("asan", "ASan/LSan", build="asan", env={"ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16"},
           slow=True)

NATIVE_ARMS = [
    Arm("glibc", "glibc"),
    Arm("whole", "cgoheap 512 KiB, whole process", build="whole", env=RATE),
    Arm("header", "cgoheap 512 KiB, header", build="header", env=RATE),
    Arm("off", "cgoheap linked, off", build="whole", env=OFF),
    *PEERS,
    ASAN,
    Arm("rate1", "cgoheap, rate 1", build="whole", env=ALL, slow=True),
    *SLOW_PEERS,
]

# libc first of all: Debian's redis is linked with jemalloc, and is to run on glibc here.
PROGRAM_ARMS = [
    Arm("glibc", "glibc", preload=LIBC),
    Arm("whole", "cgoheap 512 KiB, whole process", preload=f"{PRELOAD}:{LIBC}", env=RATE),
    Arm("off", "cgoheap linked, off", preload=f"{PRELOAD}:{LIBC}", env=OFF),
    *PEERS,
    Arm("rate1", "cgoheap, rate 1", preload=f"{PRELOAD}:{LIBC}", env=ALL, slow=True),
    *SLOW_PEERS,
]

CGO_ARMS = [
    Arm("glibc", "glibc"),
    Arm("whole", "cgoheap 512 KiB, whole process", build="capture", env=RATE),
    Arm("header", "cgoheap 512 KiB, header", build="header", env=RATE),
    Arm("off", "cgoheap linked, off", build="capture", env=OFF),
    *PEERS,
    Arm("rate1", "cgoheap, rate 1", build="capture", env=ALL, slow=True),
    *SLOW_PEERS[:1],
]

# name, threads, first guess of rounds, whether the slow arms run it too
NATIVE_LOADS = [
    ("pair16", 1, 1_000_000, False),
    ("pair64", 1, 1_000_000, True),
    ("pair64", 2, 500_000, False),
    ("pair64", 8, 100_000, False),
    ("pair64", 64, 20_000, False),
    ("pair256", 1, 1_000_000, False),
    ("pair4096", 1, 500_000, False),
    ("pair65536", 1, 500_000, False),
    ("batch", 1, 100, True),
    ("batch", 2, 50, False),
    ("batch", 8, 20, False),
    ("batch", 64, 2, False),
    ("grow", 1, 50_000, True),
    ("pipeline", 2, 200_000, True),
    ("pipeline", 64, 10_000, False),
    ("larson", 8, 50, True),
    ("larson", 64, 5, False),
    ("xmalloc", 8, 1_000, True),
    ("scratch", 8, 100_000, False),
    ("thrash", 8, 100_000, False),
    ("alloctest", 1, 500_000, True),
    ("alloctest", 8, 50_000, False),
]
PROGRAM_LOADS = [("lua5.4", 10), ("perl", 5), ("ghostscript", 5), ("gcc", 1), ("redis", 30_000)]
CGO_LOADS = [("sqlite", 4), ("zstd", 100), ("treesitter", 10), ("http", 4_000), ("pair", 2_000_000)]


def log(text):
    print(f"bench: {time.monotonic() - started:5.0f} s  {text}", file=sys.stderr, flush=True)


def run(command, env=None, timeout=TIMEOUT, cwd=None):
    """Runs a command to its end. Returns the CPU seconds of it and of all that it started, and its output."""
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "CGOHEAP")}
    environment.update(env or {})
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [str(part) for part in command], env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout
        cpu, status = 0.0, None
        while True:  # as subreaper: helpers that outlive the command count too
            try:
                pid, code, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                if time.monotonic() > deadline:
                    os.killpg(process.pid, signal.SIGKILL)
                    deadline += 10
                    status = status or "timeout"
                time.sleep(0.002)
                continue
            cpu += usage.ru_utime + usage.ru_stime
            if pid == process.pid and status is None:
                status = os.waitstatus_to_exitcode(code)
        process.returncode = 0
        out.seek(0), err.seek(0)
        output, errors = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if status == "timeout":
        raise Unable(f"not done after {timeout} s")
    if status != 0:
        lines = (errors or output).strip().splitlines()
        raise Unable(f"ended with {status}: {lines[-1][:200] if lines else 'no output'}")
    return cpu, output


def build(name, command, **options):
    """Compiles one thing; why it failed is kept for the rows that need it."""
    try:
        run(command, timeout=900, **options)
    except (Unable, OSError) as why:
        broken[name] = f"could not be built: {why}"
        log(f"{name} {broken[name]}")


broken = {}


def build_native():
    # The compiler must not know malloc: a load that it could see through would be no load.
    gcc = ["gcc", "-O2", "-fno-builtin-malloc", "-fno-builtin-free", "-fno-builtin-calloc", "-fno-builtin-realloc", "-pthread"]
    include = ["-I", ROOT / "include", "-I", ROOT / "go/interpose"]
    interpose = [ROOT / "go/interpose/decide.c", ROOT / "go/interpose/glibc.c"]
    whole = ["-DCAPTURE", "-DCGOHEAP_NO_REDIRECT", *include, *interpose, ARCHIVE, "-ldl", "-lm"]
    loads = TESTS / "loads.c"
    build("plain", [*gcc, "-o", BUILD / "plain", loads])
    build("whole", [*gcc, "-o", BUILD / "whole", loads, *whole])
    build("header", [*gcc, "-DHEADER", *include, "-o", BUILD / "header", loads, ARCHIVE, "-ldl", "-lm"])
    build("asan", [*gcc, "-fsanitize=address", "-o", BUILD / "asan", loads])
    build("depth", [*gcc, "-o", BUILD / "depth", TESTS / "depth.c", TESTS / "cgo/depth.c", *whole])
    # Recursion that stays recursion, with names for it.
    build("pauses", [*gcc, "-g", "-fno-optimize-sibling-calls", "-o", BUILD / "pauses", TESTS / "pauses.c", *whole])
    build("snapshot", [*gcc, "-g", "-fno-optimize-sibling-calls", "-o", BUILD / "snapshot", TESTS / "snapshot.c", *whole])
    build("memory", [*gcc, "-o", BUILD / "memory-whole", TESTS / "memory.c", *whole])
    build("memory-plain", [*gcc, "-o", BUILD / "memory-plain", TESTS / "memory.c"])
    version = f"-Wl,--version-script={TESTS / 'preload.version'}"
    build("preload", [*gcc, "-shared", "-fPIC", version, "-o", PRELOAD, *whole])


def build_cgo():
    go = ["go", "build", "-o"]
    build("cgo-plain", [*go, BUILD / "cgo-plain", "."], cwd=TESTS / "cgo")
    build("cgo-capture", [*go, BUILD / "cgo-capture", "-tags", "capture", "."], cwd=TESTS / "cgo")
    if QUICK:
        broken["cgo-header"] = "not in the quick version"
    else:  # all C code of all packages through the header, SQLite's too: a minute of compiling
        flags = {"CGO_CFLAGS": f"-g -O2 -I{ROOT / 'include'} -include cgoheap.h"}
        build("cgo-header", [*go, BUILD / "cgo-header", "-tags", "header", "."], cwd=TESTS / "cgo", env=flags)


def environment(arm):
    return {**arm.env, **({"LD_PRELOAD": arm.preload} if arm.preload else {})}


def compare(group, label, arms, once, rounds, slow):
    """Runs all arms of one load in turn. `once(arm, rounds)` runs it and returns CPU seconds and extra figures."""
    rows = {arm.key: {"title": arm.title, "base": arm.base, "cpu": [], "rounds": []} for arm in arms}
    row = {"group": group, "load": label, "arms": rows}
    results["loads"].append(row)
    by_key = {arm.key: arm for arm in arms}

    def attempt(arm, size):
        figures = rows[arm.key]
        why = figures.get("unable") or arm.missing() or broken.get(arm.build)
        if why is None:
            try:
                cpu, extra = once(arm, size)
                figures["cpu"].append(cpu)
                figures["rounds"].append(size)
                for name, value in extra.items():
                    figures.setdefault(name, []).append(value)
                return cpu
            except (Unable, OSError) as problem:
                why = str(problem)
        figures["unable"] = why
        return None

    # How many rounds take as long as wanted: two steps, since start-up counts too.
    for _ in range(2):
        cpu = attempt(by_key["glibc"], rounds)
        if cpu is None:
            return
        if cpu > 0.7 * RUN_SECONDS:
            break
        rounds = max(1, int(rounds * min(50, RUN_SECONDS / max(cpu, 0.002))))
    for figures in rows.values():
        for values in figures.values():
            if isinstance(values, list):
                values.clear()
    fast = [arm for arm in arms if not arm.slow]
    for turn in range(ROUNDS):
        # Every other round backwards: no arm always runs in the wake of the same other one.
        for arm in fast if turn % 2 == 0 else reversed(fast):
            # Some bare allocators take twenty times as long for some loads: two rounds say so as well as five.
            if turn < 2 or rows[arm.key]["cpu"][:1] < [4 * RUN_SECONDS]:
                attempt(arm, rounds)
    for figures in rows.values():
        base = rows[figures["base"]]["cpu"]
        figures["ratios"] = [cpu / other for cpu, other in zip(figures["cpu"], base) if other > 0]
    if slow:
        size = max(1, int(rounds * SLOW_SHARE))
        for arm in (arm for arm in arms if arm.slow):
            figures = rows[arm.key]
            for _ in range(1 if QUICK else 2):
                other = attempt(by_key[arm.base], size)
                cpu = attempt(arm, size)
                if cpu is not None and other:
                    figures.setdefault("ratios", []).append(cpu / other)
                if cpu is None or cpu > 3:
                    break
    done = rows["whole"].get("ratios")
    log(f"{group} {label}: {report.spread(done) if done else rows['whole'].get('unable')}")


def native():
    for name, threads, rounds, slow in NATIVE_LOADS:

        def once(arm, size):
            command = [*arm.wrap, BUILD / arm.build, name, threads, size]
            return run(command, environment(arm))[0], {}

        compare("native", f"{name}, {threads} thread{'s' if threads > 1 else ''}", NATIVE_ARMS, once, rounds, slow)


def program_command(name, size):
    programs = TESTS / "programs"
    if name == "lua5.4":
        return ["lua5.4", programs / "load.lua", size]
    if name == "perl":
        return ["perl", programs / "load.pl", size]
    if name == "ghostscript":
        page = scratch / f"load-{size}.ps"
        page.write_text((programs / "load.ps").read_text().replace("ROUNDS", str(size)))
        return ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-r72", "-sOutputFile=/dev/null", page]
    if name == "gcc":
        sources = [TESTS / "loads.c"] * size
        return ["gcc", "-O2", "-S", "-o", "/dev/null", *sources] if size == 1 else ["sh", "-c", " && ".join(
            f"gcc -O2 -S -o /dev/null {source}" for source in sources)]
    raise Unable(f"no program {name}")


def programs():
    for name, rounds in PROGRAM_LOADS:

        def once(arm, size):
            if name == "redis":
                return redis(arm, size)
            command = program_command(name, size)
            if shutil.which(command[0]) is None:
                raise Unable(f"{command[0]} is not installed")
            if arm.preload == LIBC:
                return run(command)[0], {}
            # With the library for libc first as well: it changes nothing where nothing but libc defines malloc.
            return run([*arm.wrap, *command], environment(arm))[0], {}

        compare("program", name, PROGRAM_ARMS, once, rounds, name in ("lua5.4", "perl"))


def redis(arm, requests):
    """CPU time of a server on the loopback interface, for a number of requests."""
    if shutil.which("redis-server") is None or shutil.which("redis-benchmark") is None:
        raise Unable("redis is not installed")
    port, env = "17391", {**os.environ, **environment(arm)}
    folder = scratch / "redis"
    folder.mkdir(exist_ok=True)
    server = subprocess.Popen(
        ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            if subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True).stdout.strip() == b"PONG":
                break
            time.sleep(0.02)
        else:
            raise Unable("redis-server does not answer")
        load = ["redis-benchmark", "-h", "127.0.0.1", "-p", port, "-n", requests, "-c", "20", "-P", "16", "-r", "100000",
                "-d", "200", "-t", "set,get,lpush,lpop,hset", "--csv"]
        answer = subprocess.run([str(part) for part in load], capture_output=True, timeout=TIMEOUT, text=True)
        per_second = [float(line.split('","')[1]) for line in answer.stdout.splitlines() if line[:5] != '"test' and '","' in line]
    finally:
        subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], capture_output=True)
        deadline = time.monotonic() + 10
        pid = 0
        while pid == 0:
            pid, _, usage = os.wait4(server.pid, os.WNOHANG)
            if pid == 0 and time.monotonic() > deadline:
                server.kill()
            time.sleep(0.005)
        server.returncode = 0
    if not per_second:
        raise Unable(f"redis-benchmark: {answer.stderr.strip()[-200:] or 'no figures'}")
    return usage.ru_utime + usage.ru_stime, {"requests_per_second": sum(per_second) / len(per_second)}


def cgo():
    for name, rounds in CGO_LOADS:

        def once(arm, size):
            if f"cgo-{arm.build}" in broken:
                raise Unable(broken[f"cgo-{arm.build}"])
            if arm.missing():
                raise Unable(arm.missing())
            cpu, output = run([BUILD / f"cgo-{arm.build}", name, size], environment(arm))
            return cpu, json.loads(output) if output.strip() else {}

        compare("cgo", name, CGO_ARMS, once, rounds, name != "http")
    results["notes"] += [
        "github.com/nsrip-dd/cmemprof: " + cmemprof(),
        "valgrind and heaptrack with the cgo loads: not run: valgrind can't run Go programs.",
    ]


def cmemprof():
    folder = scratch / "cmemprof"
    folder.mkdir()
    (folder / "go.mod").write_text("module try\n\ngo 1.25\n")
    try:
        run(["go", "get", "github.com/nsrip-dd/cmemprof@latest"], cwd=folder)
    except Unable as why:
        return f"not run, the module can't be had: {why}"
    return "not run: the module can be had now, but this benchmark was written when it could not."


def depth():
    for frames in (8, 32, 128):
        attempts(f"{frames} C frames", "depth", [BUILD / "depth", frames])
    attempts("32 C frames and 10 Go frames", "cgo-capture", [BUILD / "cgo-capture", "depth", 32])


def attempts(label, needs, command):
    row = {"label": label, "runs": []}
    results["depth"].append(row)
    try:
        if needs in broken:
            raise Unable(broken[needs])
        for _ in range(3 if QUICK else 5):
            row["runs"].append(json.loads(run(command)[1]))
    except Unable as why:
        row["unable"] = str(why)
    log(f"depth {label}: {row.get('unable') or report.median([r['warm_ns'] for r in row['runs']])} ns warm")


def snapshot():
    for live, stacks, repeat in ((1_000, 1_000, 100), (100_000, 10_000, 20), (1_000_000, 10_000, 10)):
        row = {"live": live, "stacks": stacks}
        results["snapshot"].append(row)
        file = scratch / "snapshot.pb.gz"
        try:
            if "snapshot" in broken:
                raise Unable(broken["snapshot"])
            row.update(json.loads(run([BUILD / "snapshot", live, stacks, repeat, file])[1]))
            row["gzip_bytes"] = file.stat().st_size
            row["profile_bytes"] = len(gzip.decompress(file.read_bytes()))
        except Unable as why:
            row["unable"] = str(why)
        log(f"snapshot of {live}: {row.get('unable') or row['encode_ms']} ms")
    try:
        command = ["cargo", "bench", "--locked", "--quiet", "--bench", "locks"]
        _, output = run(command, cwd=ROOT, timeout=600, env={"BENCH_SNAPSHOTS": "500" if QUICK else "10000"})
        results["locks"] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    except Unable as why:
        results["notes"].append(f"Lock holds: not measured, {why}")


def pauses():
    live, stacks, seconds = (100000, 10000, 2) if QUICK else (2000000, 200000, 10)
    for threads in (1, 4 * os.cpu_count()):
        for profiles in (0, 1):
            row = {"threads": threads, "profiles": profiles}
            results["pauses"].append(row)
            try:
                if "pauses" in broken:
                    raise Unable(broken["pauses"])
                row.update(json.loads(run([BUILD / "pauses", live, stacks, seconds, min(threads, 64), profiles])[1]))
            except Unable as why:
                row["unable"] = str(why)
            log(f"pauses of {threads} threads, {'with' if profiles else 'without'} snapshots: {row.get('unable') or row['lock_us']} us")


def symbolise():
    for label, packages in (("20 MB", 14), ("200 MB", 205)):
        row = {"label": label}
        results["symbolise"].append(row)
        try:
            if QUICK and packages > 20:
                raise Unable("not in the quick version")
            folder = BUILD / f"big{packages}"
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, ROOT / "bench/big.py", folder, packages, ROOT])
            log(f"building the {label} program")
            run(["go", "build", "-o", "big", "."], cwd=folder, timeout=600)
            row["file_bytes"] = (folder / "big").stat().st_size
            row["runs"] = [json.loads(run([folder / "big"])[1]) for _ in range(3)]
        except Unable as why:
            row["unable"] = str(why)
        log(f"first profile in a {label} program: {row.get('unable') or [r['first']['ms'] for r in row['runs']]}")


def memory():
    live = 10**8 if QUICK else 10**9
    for size in (50, 5000):
        row = {"size": size, "live_bytes": live, "runs": []}
        results["memory"].append(row)
        try:
            for name in ("memory", "memory-plain"):
                if name in broken:
                    raise Unable(broken[name])
            for _ in range(3):
                plain = json.loads(run([BUILD / "memory-plain", size, live])[1])
                whole = json.loads(run([BUILD / "memory-whole", size, live], RATE)[1])
                whole["growth_bytes"] = whole["resident_bytes"] - plain["resident_bytes"]
                whole["plain_bytes"] = plain["resident_bytes"]
                row["runs"].append(whole)
        except Unable as why:
            row["unable"] = str(why)
        log(f"memory, blocks of {size}: {row.get('unable') or [r['growth_bytes'] for r in row['runs']]}")


def truth():
    try:
        command = ["cargo", "test", "--locked", "--quiet", "--release", "--test", "truth", "--", "--nocapture"]
        _, output = run(command, cwd=ROOT, timeout=900)
    except Unable as why:
        results["notes"].append(f"Truth: {why}")
        return
    # The test runner prints the name of the test before the first.
    rows = (line.partition("truth\t")[2].split("\t") for line in output.splitlines() if "truth\t" in line)
    results["truth"] = list(rows)


def instructions():
    try:
        _, output = run([ROOT / "scripts/test-instructions.sh"], cwd=ROOT, timeout=300)
        results["instructions"] = [line for line in output.splitlines() if " over glibc " in line]
    except Unable as why:
        results["notes"].append(f"Instructions: {why}")


def command_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return "?"


def machine():
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    memory_kib = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
    return {
        "cpu": f"{len(cpu)} x {cpu[0] if cpu else platform.processor()}", "memory_gib": round(memory_kib / 2**20, 1),
        "kernel": platform.release(), "libc": " ".join(platform.libc_ver()),
        "load_before": os.getloadavg()[0], "go": command_line(["go", "version"]),
        "rust": command_line(["rustc", "--version"]), "gcc": command_line(["gcc", "--version"]),
        "packages": {name: command_line(["dpkg-query", "-W", "-f", "${Version}", name]) for name in
                     ("libjemalloc2", "libgoogle-perftools4", "heaptrack", "valgrind", "lua5.4", "perl", "ghostscript",
                      "redis-server")},
    }


PARTS = {
    "native": native, "programs": programs, "cgo": cgo, "depth": depth, "snapshot": snapshot, "pauses": pauses, "symbolise": symbolise,
    "memory": memory, "truth": truth, "instructions": instructions,
}

started = time.monotonic()
results = {
    "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    "commit": command_line(["git", "rev-parse", "--short", "HEAD"]),
    "changed": bool(subprocess.run(["git", "status", "--porcelain", "src", "include", "go"], cwd=ROOT, capture_output=True).stdout),
    "quick": QUICK, "machine": machine(), "notes": [], "loads": [], "depth": [], "snapshot": [], "locks": [], "pauses": [],
    "symbolise": [], "memory": [], "truth": [], "instructions": [],
}


def main():
    # Orphans come to us: what a profiler leaves running counts, and is waited for.
    PR_SET_CHILD_SUBREAPER = 36
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    BUILD.mkdir(parents=True, exist_ok=True)
    wanted = [part for part in os.environ.get("BENCH_ONLY", "").split(",") if part] or list(PARTS)
    unknown = set(wanted) - set(PARTS)
    if unknown:
        sys.exit(f"bench: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    build_native()
    build_cgo()
    results["setup_seconds"] = round(time.monotonic() - started)
    log("built")
    for name in wanted:
        try:
            PARTS[name]()
        except Exception as problem:  # one part must not take the others with it
            results["notes"].append(f"{name}: broke off, {type(problem).__name__}: {problem}")
            log(results["notes"][-1])
    results["seconds"] = round(time.monotonic() - started)
    results["machine"]["load_after"] = os.getloadavg()[0]
    folder = TESTS / "results"
    folder.mkdir(exist_ok=True)
    stem = f"{results['date'][:10]}-{results['commit']}{'-quick' if QUICK else ''}"
    (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{stem}.md").write_text(report.report(results))
    shutil.rmtree(scratch, ignore_errors=True)
    if not QUICK and len(wanted) == len(PARTS):  # a whole run: these are the figures that we claim
        report.write_documents(ROOT, results, stem)
    print(report.targets_table(results))
    print(f"bench/results/{stem}.md")


main()
