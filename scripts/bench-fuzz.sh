#!/usr/bin/env bash
# How fast a fuzz target is that verifies each input (cgoheaptest.VerifyNone), beside the same target without: executions a second of one
# worker, in turns, and the ratio of their sums. It fails when that is below 0.1. The archive is there already.
#
#     scripts/bench-fuzz.sh [SECONDS]   of each of the three turns of both; 5
set -euo pipefail
cd "$(dirname "$0")/../tests/cgoheaptest"
seconds=${1:-5}
executions() { # of a target
    go test -run '^$' -fuzz "^$1\$" -fuzztime "${seconds}s" -parallel 1 ./fuzz | sed -n 's/.* execs: \([0-9]*\) .*/\1/p' | tail -n 1
}
plain=0 verified=0
for turn in 1 2 3; do
    p=$(executions FuzzPlain) v=$(executions FuzzVerified)
    echo "turn $turn: plain $((p / seconds))/s, verified $((v / seconds))/s"
    plain=$((plain + p)) verified=$((verified + v))
done
awk -v p="$plain" -v v="$verified" 'BEGIN { r = v / p; printf "with VerifyNone: %.2f of the executions without\n", r; exit r < 0.1 }'
