#!/usr/bin/env bash
# Checks that the tools are there. What Debian packages is installed if we may; Go and Rust are asked for by name.
set -euo pipefail

cd "$(dirname "$0")/.."
source scripts/lib.sh
need gcc:gcc g++:g++ ld:binutils objcopy:binutils readelf:binutils

# at_least HAVE WANT: whether version HAVE is WANT or later
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

go=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || true
if [ -z "$go" ] || ! at_least "$go" 1.25; then
    echo "setup: Go 1.25 or later is needed, found '${go:-none}': see https://go.dev/doc/install" >&2
    exit 1
fi
rust=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
if [ -z "$rust" ] || ! at_least "$rust" 1.88 || ! command -v cargo >/dev/null; then
    echo "setup: Rust 1.88 or later with cargo is needed, found '${rust:-none}': see https://rustup.rs" >&2
    exit 1
fi
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2) || true
if [[ $(uname -sm) != "Linux "@(x86_64|aarch64) ]] || [ -z "$glibc" ] || ! at_least "$glibc" 2.17; then
    echo "setup: cgoheap runs on linux/amd64 and linux/arm64 with glibc 2.17 or later; this is $(uname -sm), glibc '${glibc:-none}'" >&2
    exit 1
fi
