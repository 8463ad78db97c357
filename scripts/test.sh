#!/usr/bin/env bash
# Runs every test and prints the seconds of each part. The archive is there already: make test has built it.
set -euo pipefail
cd "$(dirname "$0")/.."

summary=()
part() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    "$@"
    summary+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

demo() { scripts/demo.sh >build/demo.txt 2>&1 || { cat build/demo.txt; return 1; }; }

mkdir -p build
part "Rust: units, hooks, unwinding, statistics, header, profile" cargo test --locked --quiet
part "instructions of the unsampled paths" scripts/test-instructions.sh
part "Go: package, handler, example" go test ./...
part "Go: the same under the race detector" go test -race ./go/...
part "Go: without cgo, and elsewhere" scripts/test-unsupported.sh
part "the demo" demo
part "real programs under the whole-process door" scripts/test-real.sh
part "ways of building and linking" scripts/test-variants.sh
part "cgoheaptest by real use" scripts/test-cgoheaptest.sh
part "the link matrix" scripts/test-link.sh
part "a release, as its users get it" scripts/test-dist.sh
part "the page, in a browser and with sick programs" scripts/test-look.sh
if [ -n "${CGOHEAP_LONG:-}" ]; then
    part "the archive, built twice" scripts/test-reproducible.sh
fi

echo
printf '%s\n' "${summary[@]}"
printf '%5d s  all\n' "$SECONDS"
