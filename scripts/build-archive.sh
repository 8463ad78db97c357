#!/usr/bin/env bash
# Builds go/internal/lib/linux_PROCESSOR/libcgoheap.a: the Rust static library as one object whose only global names are ours.
#
# Two Rust archives built with fat LTO don't link into one program (they define the same symbols of the standard library),
# and the unwinder (_Unwind_*) would have to come from libgcc_s.so.1, which slim images lack. So everything is linked into
# one relocatable object (ld -r) together with libgcc_eh, what nobody needs is dropped, COMDAT groups are dissolved
# (--force-group-allocation: else the linker would drop ours in favour of another library's and crash at its first panic),
# and all names but cgoheap_* become local.
#
# Built twice from the same sources, by the same tools, in whatever folder, the archive is the same to the bit: no path of
# this machine gets into it. scripts/test-reproducible.sh holds it to that.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
# Of another target than this machine's, by CGOHEAP_TARGET, with the binutils and the gcc of that target.
target=${CARGO_TARGET_DIR:-target}
built=$target/release work=$target/archive out=${archive%/*} cross='' options=()
if [ -n "${CGOHEAP_TARGET:-}" ]; then
    case $CGOHEAP_TARGET in
    x86_64-unknown-linux-gnu) out=go/internal/lib/linux_amd64 cross=x86_64-linux-gnu- ;;
    aarch64-unknown-linux-gnu) out=go/internal/lib/linux_arm64 cross=aarch64-linux-gnu- ;;
    *) echo "build-archive: CGOHEAP_TARGET=$CGOHEAP_TARGET: no such target: x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu" >&2; exit 1 ;;
    esac
    built=$target/$CGOHEAP_TARGET/release work=$target/archive-$CGOHEAP_TARGET options=(--target "$CGOHEAP_TARGET")
fi
most=1500000 # bytes: an archive that grows beyond is a mistake until somebody says otherwise

# Panic messages name files. An unchanged RUSTFLAGS of the user's would take the place of build.rustflags, so it is unset.
remap="build.rustflags=['--remap-path-prefix=$PWD=/cgoheap', '--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo']"
# The static library alone: beside an rlib there is no fat LTO. RUSTC_BOOTSTRAP lets our crate, and no other, use the one
# unstable function that keeps a program alive when a profile finds no memory: see src/control/allocator.rs.
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS RUSTC_BOOTSTRAP=cgoheap \
    cargo rustc --config "$remap" --release --locked --quiet --lib --crate-type staticlib "${options[@]}" -- --cfg cgoheap_archive
staticlib=$built/libcgoheap.a
rm -rf "$work" && mkdir -p "$work" "$out"

# What the header declares is what stays. (readelf and not nm: nm, ar and their kin hand objects with bitcode, which the
# standard library brings along, to whatever compiler plugin is installed, and an older LLVM's dies of it.)
"${cross}readelf" -sW "$staticlib" 2>/dev/null \
    | awk '($5 == "GLOBAL" || $5 == "WEAK") && $7 != "UND" && $8 ~ /^cgoheap_/ && $8 !~ /^cgoheap_internal_/ {print $8}' \
    | sort -u >"$work/keep"
grep -q '^cgoheap_malloc$' "$work/keep" || { echo "build-archive: $staticlib lacks cgoheap_malloc" >&2; exit 1; }
roots=$(sed 's/^/-u /' "$work/keep")

# Everything of Rust's is in one member, which fat LTO made; the rest is C.
rustc --edition 2024 -O -o "$work/prelink" scripts/archive/prelink.rs
"${cross}ar" p "$staticlib" "$("${cross}ar" t "$staticlib" | grep -m 1 '^cgoheap.*\.rcgu\.o$')" >"$work/rust.o"
"$work/prelink" cut "$work/rust.o" "$work/cut.o" BacktraceLock DisplayBacktrace Display3fmt

# libgcc's unwinder asks _dl_find_object where it was built for glibc 2.35 or later: ours does without where there is none.
"${cross}objcopy" --redefine-sym _dl_find_object=cgoheap_internal_find_for_libgcc "$("${cross}gcc" -print-file-name=libgcc_eh.a)" "$work/unwinder.a"
# shellcheck disable=SC2086  # one word per option
"${cross}ld" -r --gc-sections --force-group-allocation $roots -o "$work/whole.o" "$work/cut.o" "$staticlib" "$work/unwinder.a"
"${cross}objcopy" --keep-global-symbols="$work/keep" --strip-debug --remove-section=.comment --remove-section=.llvmbc \
    --remove-section=.llvmcmd "$work/whole.o" "$work/local.o"

# One section of each kind instead of one for each function, and no names but those that relocations need: half the size.
cat >"$work/merge.ld" <<'SCRIPT'
SECTIONS
{
  .text 0 : { *(.text .text.*) }
  .rodata 0 : { *(.rodata .rodata.*) }
  .data.rel.ro 0 : { *(.data.rel.ro .data.rel.ro.*) }
  .data 0 : { *(.data .data.*) }
  .bss 0 : { *(.bss .bss.*) *(COMMON) }
  .tdata 0 : { *(.tdata .tdata.*) }
  .tbss 0 : { *(.tbss .tbss.*) }
  .gcc_except_table 0 : { *(.gcc_except_table .gcc_except_table.*) }
}
SCRIPT
"${cross}ld" -r -T "$work/merge.ld" -o "$work/merged.o" "$work/local.o"
"$work/prelink" resolve "$work/merged.o" "$work/resolved.o"
"${cross}objcopy" --strip-unneeded "$work/resolved.o" "$work/cgoheap.o"
"${cross}ar" rcsD "$work/libcgoheap.a" "$work/cgoheap.o"

# The digest makes Go's build cache notice a new archive, and new headers of ours: the Go package includes it.
digest=$(cat "$work/libcgoheap.a" include/*.h | sha256sum | cut -d' ' -f1)
printf '/* Generated beside libcgoheap.a by make build. */\n#define CGOHEAP_ARCHIVE_DIGEST "sha256:%s"\n' "$digest" >"$work/digest.h"
for file in libcgoheap.a digest.h; do
    cmp -s "$work/$file" "$out/$file" || cp "$work/$file" "$out/$file"
done
size=$(stat -c %s "$out/libcgoheap.a")
((size <= most)) || { echo "build-archive: $size bytes are more than $most" >&2; exit 1; }
echo "$out/libcgoheap.a: $size bytes, sha256 ${digest:0:16}"
