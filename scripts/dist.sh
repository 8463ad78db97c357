#!/usr/bin/env bash
# Makes the release as users get it, in build/dist (or the folder given):
#
#     repository.git      this repository, with a tag whose commit lies beside main and carries what git leaves out:
#                         the archives, their digests, and the licences of what is linked in
#     proxy               the same as files of a Go module proxy: GOPROXY=file://.../build/dist/proxy
#     cgoheap-vX.Y.Z.zip  the module alone, as proxies serve it
#
# To release: git push https://github.com/cgoheap/cgoheap vX.Y.Z, out of repository.git.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
out=${1:-build/dist}
mkdir -p "$out"
out=$(cd "$out" && pwd)
module=github.com/cgoheap/cgoheap
version=v$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
chmod -R u+w "$out" && rm -rf "${out:?}"/*

# Licences. What is compiled into the archive: the crates, without those that only run while building.
{
    echo "Libraries in libcgoheap.a, and their licences"
    echo
    cargo tree --locked --edges normal,no-proc-macro --prefix none --no-dedupe --format '{p}|{l}' | sort -u | while IFS='|' read -r package licence; do
        read -r name number path <<<"$package"
        [[ $path != \(/* ]] || continue # a package of this repository
        number=${number#v}
        echo "================================================================ $name $number ($licence)"
        shopt -s nullglob
        texts=("${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-$number"/{LICENSE,LICENCE,COPYING,UNLICENSE,NOTICE}{*,*/*}) # or a folder of them
        [ ${#texts[@]} -gt 0 ] || { echo "dist: no licence text for $name $number" >&2; exit 1; }
        for text in "${texts[@]}"; do
            [ ! -f "$text" ] || { echo "-- ${text##*/}"; cat "$text"; echo; }
        done
    done
    echo "================================================================ Rust standard library (MIT OR Apache-2.0)"
    echo "Copyright (c) The Rust Project Contributors; the texts are those of LICENSE-MIT and LICENSE-APACHE."
    echo "================================================================ libgcc_eh (GPL-3.0 WITH GCC-exception-3.1)"
    echo "Copyright (C) Free Software Foundation, Inc. The GCC Runtime Library Exception allows to link it into any program:"
    echo "https://www.gnu.org/licenses/gcc-exception-3.1.html"
} >"$out/licences"

# The tag's commit, with an index of its own: neither this work tree nor its repository notices.
export GIT_DIR=$out/repository.git GIT_AUTHOR_NAME=cgoheap GIT_AUTHOR_EMAIL=cgoheap@localhost
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL
source=$(env -u GIT_DIR git rev-parse --path-format=absolute --git-common-dir)
head=$(git --git-dir="$source" rev-parse HEAD)
git init -q --bare --initial-branch=main "$GIT_DIR"
git fetch -q "$source" "$head:refs/heads/main"
export GIT_INDEX_FILE=$out/index GIT_WORK_TREE=$PWD
git read-tree main
git add -A .
what="cgoheap $version, from $head"
if ! git diff --cached --quiet main; then
    what+=" and changes that were not committed"
    echo "dist: takes in changes that are not committed" >&2
fi
licences=$(git hash-object -w "$out/licences")
for folder in go/internal/lib/*_*; do
    if [ ! -f "$folder/libcgoheap.a" ]; then
        echo "dist: no archive in $folder: this is no release, which make dist makes" >&2
        continue
    fi
    git add -f "$folder/libcgoheap.a" "$folder/digest.h"
    git update-index --add --cacheinfo "100644,$licences,$folder/LICENSES.txt"
done
commit=$(git commit-tree -m "$what" -p main "$(git write-tree)")
git tag "$version" "$commit"
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE
rm "$out/index"

# Go itself packs the module, as the public proxy would.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$out/repository.git.insteadOf" GIT_CONFIG_VALUE_0="https://$module"
(cd "$out" && GOMODCACHE=$out/cache GOPROXY=direct GONOSUMDB=$module GOFLAGS=-modcacherw GOWORK=off \
    go mod download "$module@$version")
mv "$out/cache/cache/download" "$out/proxy"
chmod -R u+w "$out/cache" && rm -rf "$out/cache"
cp "$out/proxy/$module/@v/$version.zip" "$out/cgoheap-$version.zip"
echo "$out/cgoheap-$version.zip: $(stat -c %s "$out/cgoheap-$version.zip") bytes; tag $version is ${commit:0:12} in $out/repository.git"
