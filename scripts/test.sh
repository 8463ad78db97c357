#!/usr/bin/env bash
# Runs the tests and prints the seconds of each part. The archive is there already: make has built it.
#
#     scripts/test.sh quick    what a contributor runs (make test): every area, one or two rows of each matrix
#     scripts/test.sh rest     what all has beyond quick: no part twice, so CI runs quick and then rest
#     scripts/test.sh all      everything (make test-all); with CGOHEAP_LONG=1 (make test-long) also the long versions of stress and
#                              statistics, what downloads much, and the archive built twice
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

mode=${1:-all}
case $mode in
quick | rest | all) ;;
*) sed -n '4,7s/^# *//p' "$0" >&2; exit 2 ;;
esac

# The rows of the matrices that quick runs. Of tests/build: the program with the header, linked as a static PIE; the whole process
# captured; a release by go get; another platform, if its tools are there. Of tests/look: one sick program and its page. Of tests/cgoheaptest: a user's tests that leak.
matrix_rows='^Test(Link|Variants|Platforms|Release)$/^(dynamic|static-pie|table|plain|old-glibc|arm64|proxy)$'
look_rows='^TestLeakIsNamedByLineAndCaller$'
leak_rows='^TestOutputOfEachCase$'

summary=()
# part NAME NEEDS COMMAND...: NEEDS is what it downloads or installs, if it isn't there yet.
part() {
    local name=$1 needs=$2 start=$SECONDS
    shift 2
    echo "== $name${needs:+ (first run: $needs)}"
    "$@"
    summary+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}
quick() { [ "$mode" = rest ] || part "$@"; }
rest() { [ "$mode" = quick ] || part "$@"; }
# split NAME NEEDS ROWS COMMAND...: a test whose rows in ROWS are quick; the command gets -run or -skip.
split() {
    local name=$1 needs=$2 rows=$3
    shift 3
    case $mode in
    quick) part "$name: some" "$needs" "$@" -run "$rows" ;;
    rest) part "$name: the rest" "$needs" "$@" -skip "$rows" ;;
    all) part "$name" "$needs" "$@" ;;
    esac
}

demo() { scripts/demo.sh >build/demo.txt 2>&1 || { cat build/demo.txt; return 1; }; }
# What threads share without a lock, and the lock, in small models, under every interleaving.
interleavings() {
    CARGO_TARGET_DIR=$PWD/build/rust-target cargo test --locked --quiet --release --manifest-path tests/loom/Cargo.toml
}
unsupported() { # where cgoheap doesn't run, the Go package must compile and say so
    CGO_ENABLED=0 go test ./go/...
    local target
    for target in linux/arm64 darwin/arm64 windows/amd64; do
        CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go vet ./go
    done
}

mkdir -p build
crates="crates by cargo" modules="Go modules"
rust() {
    need dwz:dwz xz:xz-utils # debug information as distributions have it
    cargo test --locked --quiet
}
quick "Rust: units, hooks, unwinding, statistics, header, profile" "dwz, xz-utils; $crates" rust
quick "instructions of the unsampled paths" valgrind scripts/test-instructions.sh
quick "Go: package, handler, example" "" go test ./go/... ./examples/...
quick "the demo" "" demo
split "ways of building, capturing and getting it" \
    "lld, clang, pkg-config, libjemalloc-dev, libtcmalloc-minimal4, libmimalloc2.0, debootstrap, Debian 11, zig from PyPI; $modules" \
    "$matrix_rows" \
    go -C tests/build test -timeout 40m .
split "cgoheaptest by real use" "$modules" "$leak_rows" go -C tests/cgoheaptest test -count=1 -timeout 20m .
split "the page and sick programs" "chromium; $modules" "$look_rows" scripts/test-look.sh
rest "Rust: interleavings of what is without a lock" "$crates" interleavings
rest "Go: the same under the race detector" "" go test -race ./go/...
rest "Go: without cgo, and elsewhere" "" unsupported
rest "real programs with the whole process captured" "zlib1g-dev; $modules" scripts/test-real.sh
if [ -n "${CGOHEAP_LONG:-}" ]; then
    rest "the archive, built twice" "" scripts/test-reproducible.sh
fi

echo
printf '%s\n' "${summary[@]}"
printf '%5d s  %s: all passed\n' "$SECONDS" "$mode"
