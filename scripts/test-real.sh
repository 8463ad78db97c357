#!/usr/bin/env bash
# The tests of tests/real: real programs with the whole process captured. The archive is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

source scripts/lib.sh
need /usr/include/zlib.h:zlib1g-dev g++:g++

out=$PWD/build/real
mkdir -p "$out"
cd tests/real
export GOFLAGS= GOWORK=off
# SQLite takes half a minute with -O2; the long run does it as its users do.
# It also soaks for an hour.
timeout=2h
if [ -z "${CGOHEAP_LONG:-}" ]; then
    export CGO_CFLAGS="-O1 -g" CGO_CXXFLAGS="-O1 -g"
    timeout=30m
fi
# With -o, since go test strips a program that it doesn't keep, and with it the names of C functions.
go vet ./...
go test -timeout "$timeout" -o "$out/" ./...
CGOHEAP_SQLITE_FIXED=1 go test -modfile=fixed.mod -o "$out/" -run 'Filename|Closing' ./sqlite
