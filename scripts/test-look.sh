#!/usr/bin/env bash
# The tests of tests/look: programs with one disease of the memory each, judged by the page of package look, and the page in a
# real browser. The archive is there already.
#
#     scripts/test-look.sh          install what they need, if we may; then run them
#     scripts/test-look.sh picture  make docs/look.png and docs/look-flame.png only
#
# With CGOHEAP_PARCA=1 also against a real Parca, which takes a quarter of an hour to build the first time; CGOHEAP_PARCA may be the
# program's path too.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium chromium-browser google-chrome >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "test-look: installing chromium" >&2
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q chromium; } >/dev/null
    else
        echo "test-look: missing: install chromium (Debian: sudo apt-get install chromium)" >&2
        exit 1
    fi
fi
export GOFLAGS= GOWORK=off
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
go test -timeout 15m -parallel 3 ./...
