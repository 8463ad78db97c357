#!/usr/bin/env bash
# Sets up and runs a benchmark of bench/:
#
#     scripts/bench.sh          cgoheap and its peers side by side; the report goes to bench/results/. BENCH_QUICK=1 takes about
#                               four minutes, else fifteen
#     scripts/bench.sh truth    estimates against an exact ledger: writes docs/truth.md
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

if [ "${1:-}" = truth ]; then
    need python3:python3 g++:g++ libjemalloc.so.2:libjemalloc2 libtcmalloc.so.4:libgoogle-perftools4
    exec python3 -B bench/truth.py
fi
need python3:python3
# Peers and programs, as Debian packages them. What is missing and can't be installed has no rows in the report.
for package in libjemalloc2 libgoogle-perftools4 heaptrack valgrind lua5.4 perl ghostscript redis-server redis-tools; do
    dpkg -s "$package" >/dev/null 2>&1 || install_if_we_may "$package" || echo "bench: no $package" >&2
done
exec python3 -B bench/bench.py
