#!/usr/bin/env bash
# Builds tests/real/variants in every way that users build programs, runs each, and prints a table: PASS or FAIL, the way,
# and what the program's ReadStats says. The archive is there already.
#
#     scripts/test-variants.sh [NAME...]     only these
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh
need libjemalloc.a:libjemalloc-dev libtcmalloc_minimal.so.4:libtcmalloc-minimal4 libmimalloc.so.2:libmimalloc2.0
export GOFLAGS= GOWORK=off CGOHEAP=rate=1
out=$PWD/build/variants
mkdir -p "$out"
source=tests/real/variants
plugin=$out/libplugin.so
gcc -O2 -fomit-frame-pointer -shared -fPIC -s -o "$plugin" $source/plugin/plugin.c

wanted=("$@")
failed=0
# report NAME COMMAND...: runs the command (build and run, in one function) and prints the line of the table.
report() {
    local name=$1 log=$out/$1.log result=PASS words
    shift
    if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
    ( "$@" ) >"$log" 2>&1 || { result=FAIL; failed=1; }
    words=$(sed -n 's/^stats: \(.*\); [0-9]* samples.*/\1/p' "$log" | head -n 1)
    printf '%s  %-18s %s\n' "$result" "$name" "$words"
    if [ $result = FAIL ]; then sed 's/^/      /' "$log" | cut -c1-2000 | head -n 40; fi
}

# program NAME [VARIABLE=VALUE...] BUILD-FLAGS... -- RUN-ARGUMENTS...
program() {
    local name=$1 build=() environment=()
    shift
    while [ "$1" != -- ]; do
        if [[ $1 == *=* && $1 != -* ]]; then environment+=("$1"); else build+=("$1"); fi
        shift
    done
    shift
    (cd $source && env "${environment[@]}" go build "${build[@]}" -o "$out/$name" .)
    timeout 60 "$out/$name" -plugin "$plugin" "$@"
}

vendored() {
    rm -rf "$out/vendored" && mkdir -p "$out/vendored/tests/real" "$out/vendored/go" "$out/vendored/include"
    cp go.mod "$out/vendored" # the copy stands for what a user has downloaded
    cp -r go include "$out/vendored"
    cp -r $source "$out/vendored/tests/real"
    cd "$out/vendored/$source"
    go mod vendor
    rm -r "$out/vendored/go" "$out/vendored/include"
    go build -mod=vendor -o "$out/vendored-program" .
    timeout 60 "$out/vendored-program" -plugin "$plugin"
}

shared() { # shared NAME ARGUMENTS-OF-CC...
    (cd $source && go build -buildmode=c-shared -o "$out/libvariants.so" .)
    gcc -O2 -o "$out/$1" $source/host/host.c "${@:2}" -ldl
}
shared_opened() {
    shared host-opened
    timeout 60 "$out/host-opened" "$out/libvariants.so" -plugin "$plugin" "$@"
}
shared_linked() {
    shared host-linked -DLINKED "$out/libvariants.so" "-Wl,-rpath,$out"
    timeout 60 "$out/host-linked" - -plugin "$plugin" "$@"
}

preload() { # preload LIBRARY ARGUMENTS-OF-PROGRAM...
    local library
    library=$(gcc -print-file-name="$1")
    [[ $library == /* ]] || { echo "$1 is not installed"; return 1; }
    (cd $source && go build -o "$out/preload" .)
    LD_PRELOAD=$library timeout 60 "$out/preload" -plugin "$plugin" "${@:2}"
}

# asan ARGUMENTS-OF-PROGRAM...: and checks that the sanitizer was really there
asan() {
    program "$@"
    [ "$(readelf -sW "$out/$1" | grep -c __asan_init)" -gt 0 ] || { echo "built without the sanitizer"; return 1; }
}

whole=1 wrap=2 aside=3 # cgoheap.Interpose
jemalloc_a="-l:libjemalloc.a -lstdc++ -lm -lpthread -ldl"

report plain            program plain --
report stripped         program stripped "-ldflags=-s -w" -- -stripped
report trimpath         program trimpath -trimpath --
report pie              program pie -buildmode=pie --
report race             program race -race --
report vendored         vendored
report header           program header -tags=header --
report header-pie       program header-pie -tags=header,pie -buildmode=pie -trimpath "-ldflags=-s -w" -- -stripped
# --wrap sees what is linked statically: not the library's calls, nor libc's own.
report wrap             program wrap -tags=cgoheap_wrap -- -state $wrap -unseen cpp,library,libc
report wrap-header      program wrap-header -tags=cgoheap_wrap,header -- -state $wrap -unseen cpp,library,libc
report wrap-libstdc++   program wrap-libstdcxx -tags=cgoheap_wrap "CGO_LDFLAGS=-static-libstdc++ -static-libgcc" -- -state $wrap -unseen library,libc
# The sanitizer owns malloc; the program's leaks are meant.
export ASAN_OPTIONS=detect_leaks=0
report asan             asan asan -asan -- -state 0 -seen none
report asan-header      asan asan-header -asan -tags=header -- -state 0 -seen header -any mixed
# The program's own allocator, which it also calls by name.
report jemalloc         program jemalloc -tags=jemalloc "CGO_LDFLAGS=$jemalloc_a" -- -state $aside -seen none
report jemalloc-header  program jemalloc-header -tags=jemalloc,header "CGO_LDFLAGS=$jemalloc_a" -- -state $aside -seen header -any mixed
report jemalloc-wrap    program jemalloc-wrap -tags=jemalloc,cgoheap_wrap,header "CGO_LDFLAGS=$jemalloc_a" -- -state $wrap -unseen cpp,library,libc
report jemalloc-shared  program jemalloc-shared -tags=jemalloc,header "CGO_LDFLAGS=-ljemalloc" -- -state $whole -unseen cpp
report static           program static "-ldflags=-linkmode external -extldflags=-static" -- -state $aside -seen none
report static-wrap      program static-wrap -tags=cgoheap_wrap "-ldflags=-linkmode external -extldflags=-static" -- -state $wrap -unseen library
report c-shared-opened  shared_opened -state $aside -seen none
report c-shared-linked  shared_linked -state $whole
# jemalloc stays the allocator, beneath ours. Its operator new doesn't call malloc.
report preload-jemalloc preload libjemalloc.so.2 -state $whole -unseen cpp
report preload-tcmalloc preload libtcmalloc_minimal.so.4 -state $whole -unseen cpp
report preload-mimalloc preload libmimalloc.so.2 -state $whole -unseen cpp
report preload-libc-debug preload libc_malloc_debug.so.0 -state $whole
exit $failed
