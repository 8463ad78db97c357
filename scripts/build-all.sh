#!/usr/bin/env bash
# Builds the archives of the platforms that aren't this machine's, by cross compilers, which are installed if we may.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
for target in aarch64-unknown-linux-gnu:arm64 x86_64-unknown-linux-gnu:amd64; do
    gnu=${target%%-*}-linux-gnu debian=${target#*:} target=${target%:*}
    [ "${target%%-*}" != "$(uname -m)" ] || continue # make build has it
    need "$gnu-gcc:gcc-${gnu//_/-}" "/usr/$gnu/include/stdlib.h:libc6-dev-$debian-cross"
    if ! ls "$(rustc --print target-libdir --target "$target")"/libstd-* >/dev/null 2>&1; then
        command -v rustup >/dev/null || { echo "build-all: missing: the standard library of Rust's target $target" >&2; exit 1; }
        rustup --quiet target add "$target"
    fi
    CGOHEAP_TARGET=$target scripts/build-archive.sh
done
