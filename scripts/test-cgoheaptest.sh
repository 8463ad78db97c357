#!/usr/bin/env bash
# Tests of the package cgoheaptest by real use: tests of users that fail on purpose, in a module of their own.
# CGOHEAP_LONG=1 looks for false alarms in 1,000 runs instead of 50.
set -euo pipefail
cd "$(dirname "$0")/../tests/cgoheaptest"
go test -count=1 -timeout=20m .
