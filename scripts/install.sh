#!/usr/bin/env bash
# Installs header, archive and pkg-config file below PREFIX (/usr/local), in DESTDIR for packagers.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# A folder of its own: it holds wrappers named stdlib.h and so on.
install -d "$root/include/cgoheap" "$root/lib/pkgconfig"
install -m 644 include/*.h include/cmath include/cstdlib "$root/include/cgoheap"
install -m 644 "$archive" "$root/lib"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" scripts/cgoheap.pc.in >"$root/lib/pkgconfig/cgoheap.pc"
chmod 644 "$root/lib/pkgconfig/cgoheap.pc"
echo "$root: include/cgoheap, lib/libcgoheap.a, lib/pkgconfig/cgoheap.pc"
