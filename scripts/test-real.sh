#!/usr/bin/env bash
# The tests of tests/real: real programs under the whole-process door. The archive is there already.
#
#     scripts/test-real.sh          install what they need, if we may; then run them
#     scripts/test-real.sh setup    install only
set -euo pipefail
cd "$(dirname "$0")/.."

setup() {
    local missing=() file
    for file in /usr/include/zlib.h:zlib1g-dev "$(gcc -print-file-name=libjemalloc.a):libjemalloc-dev" \
        "$(gcc -print-file-name=libtcmalloc_minimal.so.4):libtcmalloc-minimal4" "$(gcc -print-file-name=libmimalloc.so.2):libmimalloc2.0"; do
        [ -e "${file%:*}" ] || missing+=("${file##*:}")
    done
    command -v g++ >/dev/null || missing+=(g++)
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "test-real: installing ${missing[*]}" >&2
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "${missing[@]}"; } >/dev/null && return
    fi
    echo "test-real: missing: install the packages ${missing[*]} (Debian: sudo apt-get install ${missing[*]})" >&2
    exit 1
}
setup
[ "${1:-}" = setup ] && exit

out=$PWD/build/real
mkdir -p "$out"
cd tests/real
export GOFLAGS= GOWORK=off
# SQLite takes half a minute with -O2; the long run does it as its users do.
if [ -z "${CGOHEAP_LONG:-}" ]; then export CGO_CFLAGS="-O1 -g" CGO_CXXFLAGS="-O1 -g"; fi
# With -o, since go test strips a program that it doesn't keep, and with it the names of C functions.
go vet ./...
go test -timeout 30m -o "$out/" ./...
CGOHEAP_SQLITE_FIXED=1 go test -modfile=fixed.mod -o "$out/" -run 'Filename|Closing' ./sqlite
