#!/usr/bin/env bash
# Counts the instructions of the unsampled paths with callgrind and compares them with bench/instructions.tsv.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
need valgrind:valgrind

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -o "$work/plain" bench/pairs.c
gcc -O2 -DHEADER -Iinclude -o "$work/header" bench/pairs.c "$archive"
gcc -O2 -DCGOHEAP_NO_REDIRECT -Iinclude -Igo/interpose -o "$work/interpose" bench/pairs.c go/interpose/decide.c go/interpose/glibc.c "$archive"

# instructions PROGRAM OPERATION: of 100,000 operations, without start and end of the program
instructions() {
    local counts=()
    for pairs in 200000 100000; do
        # An interval so long that no sample falls; the paths are those of any interval.
        counts+=("$(CGOHEAP=rate=1TiB valgrind --tool=callgrind --callgrind-out-file=/dev/null "$work/$1" "$2" $pairs 2>&1 \
            | sed -n 's/.*Collected : \([0-9]*\).*/\1/p')")
    done
    echo $((counts[0] - counts[1]))
}

failed=0
passed=0
while read -r way operation most; do
    plain=$(instructions plain "$operation")
    hooked=$(instructions "$way" "$operation")
    over=$(awk -v a="$hooked" -v b="$plain" 'BEGIN { printf "%.2f", (a - b) / 100000 }')
    if awk -v over="$over" -v most="$most" 'BEGIN { exit !(over <= most && over > 0) }'; then
        verdict=ok passed=$((passed + 1))
    else
        verdict="FAILED, at most $most" failed=$((failed + 1))
    fi
    printf '%-10s %-8s %6s instructions over glibc (%s): %s\n' "$way" "$operation" "$over" \
        "$(awk -v a="$plain" 'BEGIN { printf "%.1f", a / 100000 }')" "$verdict"
done < <(grep -v '^#' bench/instructions.tsv)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
