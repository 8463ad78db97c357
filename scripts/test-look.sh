#!/usr/bin/env bash
# The tests of tests/look: programs with one disease of the memory each, what the page of package look says of it, and the page in a
# real browser. And of tests/routers: the page behind the routers that programs use. The archive is there already.
#
#     scripts/test-look.sh                all of them
#     scripts/test-look.sh -run PATTERN   these tests of tests/look only
#     scripts/test-look.sh -skip PATTERN  all but these
#     scripts/test-look.sh picture        make docs/look.png and docs/look-flame.png only
#
# With CGOHEAP_PARCA=1 also against a real Parca, which takes a quarter of an hour to build the first time; CGOHEAP_PARCA may be the
# program's path too.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/lib.sh
export GOFLAGS= GOWORK=off
if [ "${1:-}" = -run ]; then
    cd tests/look
    exec go test -timeout 5m -run "$2" ./...
fi
need_browser
if [ "${1:-}" = picture ]; then
    export CGOHEAP_PICTURES=$PWD/docs
    cd tests/look
    go test -count=1 -run InABrowser .
    rm -f "$CGOHEAP_PICTURES/look-phone.png" # to look at only: set CGOHEAP_PICTURES to another folder
    exit
fi
if [ "${CGOHEAP_PARCA:-}" = 1 ] || { [ -z "${CGOHEAP_PARCA:-}" ] && [ -n "${CGOHEAP_LONG:-}" ]; }; then
    CGOHEAP_PARCA=$(scripts/parca.sh)
    export CGOHEAP_PARCA
fi
cd tests/look
go vet ./...
# Three at a time: the programs mostly wait.
go test -timeout 15m -parallel 3 "$@" ./...
cd ../routers
go vet ./...
go test -timeout 5m ./...
