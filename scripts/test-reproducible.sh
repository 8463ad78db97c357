#!/usr/bin/env bash
# Builds the archive a second time, in another folder and from nothing, and compares it with the first bit by bit.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/an other/place"
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -x -C "$work/an other/place"
CARGO_TARGET_DIR=$work/target "$work/an other/place/scripts/build-archive.sh"
cmp "$archive" "$work/an other/place/$archive" || { echo "test-reproducible: two builds differ" >&2; exit 1; }
if strings -a "$archive" | grep -F -e "$PWD/" -e "$HOME/"; then
    echo "test-reproducible: the archive holds paths of this machine" >&2
    exit 1
fi
echo "the same to the bit"
