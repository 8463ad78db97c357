#!/usr/bin/env bash
# Sets up and runs the benchmark; the report goes to tests/bench/results/. BENCH_QUICK=1 takes about two minutes, else fifteen.
set -euo pipefail
cd "$(dirname "$0")/.."

# Peers and programs, as Debian packages them. What is missing and can't be installed has no rows in the report.
packages=(libjemalloc2 libgoogle-perftools4 heaptrack valgrind lua5.4 perl ghostscript redis-server redis-tools python3)
missing=()
for package in "${packages[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "bench: installing ${missing[*]}" >&2
    apt-get update -q >/dev/null || true
    for package in "${missing[@]}"; do
        apt-get install -y -q --no-install-recommends "$package" >/dev/null || echo "bench: no $package" >&2
    done
fi
command -v python3 >/dev/null || { echo "bench: install python3 (Debian: sudo apt-get install python3)" >&2; exit 1; }
exec python3 -B scripts/bench.py
