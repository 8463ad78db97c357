#!/usr/bin/env bash
# A new user's first minutes, with what make dist made: no Rust in PATH, empty module and build caches, an empty folder. Then
# the other ways to the same program (with CGOHEAP_LONG=1 all of them). At last a slim image: a chroot with glibc and the programs, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
clean() { chmod -R u+w "$work" && rm -rf "$work"; }
trap clean EXIT

root=$PWD
scripts/dist.sh "$work/dist"
module=github.com/cgoheap/cgoheap
version=$(git --git-dir="$work/dist/repository.git" tag --list 'v*')

# From here on as somebody else, who has Go and a C compiler.
goroot=$(go env GOROOT)
unset CARGO_TARGET_DIR CARGO_HOME RUSTUP_HOME CGO_CPPFLAGS CGO_CFLAGS CGO_LDFLAGS GOFLAGS GOPATH
export HOME=$work/home PATH=$goroot/bin:/usr/bin:/bin:/usr/sbin:/sbin GOTOOLCHAIN=local GOWORK=off GOENV=off CGO_ENABLED=1
export GOPATH=$work/gopath GOCACHE=$work/gocache GOFLAGS=-modcacherw GONOSUMDB=$module GOPROXY=file://$work/dist/proxy
mkdir -p "$HOME"
if command -v cargo rustc >/dev/null; then echo "test-dist: Rust is in PATH, the test would prove nothing" >&2; exit 1; fi

passed=0 began=0
# shows NAME TEXT PATTERN...: whether every pattern is in the text
shows() {
    local name=$1 text=$2 pattern
    shift 2
    for pattern; do
        grep -q -e "$pattern" <<<"$text" || { printf 'FAILED %s: no %q in\n%s\n' "$name" "$pattern" "$text" >&2; exit 1; }
    done
    printf 'ok     %3d s  %s\n' $((SECONDS - began)) "$name"
    began=$SECONDS
    passed=$((passed + 1))
}
leak=('C\.CString' 'main\.leak')

# What README.md tells a new user to do, word for word, but for the port; then as it says that it may be varied.
section=$(sed -n '/^## Quick start$/,/^### /p' README.md)
readme_program=$(awk '/^```go$/ {on = 1; next} /^```$/ {if (on) exit} on' <<<"$section")
# readme_commands N: the Nth block of indented lines
readme_commands() { awk -v n="$1" '/^    / {if (!on) count++; on = 1; if (count == n) print substr($0, 5); next} {on = 0}' <<<"$section"; }
readme_port=6060
while (exec 3<>"/dev/tcp/localhost/$readme_port") 2>/dev/null; do readme_port=$((20000 + RANDOM)); done

# try NAME PROGRAM COMMANDS: in an empty folder
try() {
    local name=$1
    mkdir "$work/$name"
    sed "s/:6060/:$readme_port/" <<<"$2" >"$work/$name/main.go"
    {
        echo 'set -em; trap "kill -- -\$server" EXIT'
        # A command that stays is given the time to build and to listen.
        sed -e "s/:6060/:$readme_port/" -e 's|&$|\& server=$!\
            until (exec 3<>/dev/tcp/localhost/'"$readme_port"') 2>/dev/null; do kill -0 $server; sleep 0.1; done|' <<<"$3"
    } >"$work/$name.sh"
    (cd "$work/$name" && GOPATH=$work/$name-path timeout 300 bash "$work/$name.sh") 2>&1
}
whole_process() { # sed script: the header out, the import of interpose in
    printf '%s' '/#cgo/d; s|cgoheap/go"|cgoheap/go/interpose"|'
}
main_job=('C\.CString' 'main\.main' 'Type: inuse_space')
shows "README: a program, the header by -include" "$(try readme "$readme_program" "$(readme_commands 1)")" "${main_job[@]}"
# shellcheck disable=SC2001
shows "README: the whole process by a blank import" \
    "$(try readme-interpose "$(sed "$(whole_process)" <<<"$readme_program")" "$(readme_commands 1 | sed /CGO_CPPFLAGS/d)")" "${main_job[@]}"
shows "README: #include in the preamble" \
    "$(try readme-include "$(sed -e '/#cgo/d' -e 's|^// #include <stdlib.h>|&\
// #include <cgoheap.h>\
// static void lose(void) { malloc(10000); }|' -e 's|C\.CString(.*|C.lose()|' -e '/"strings"/d' <<<"$readme_program")" "$(readme_commands 1)")" \
    ' lose' 'main\.main'
shows "README: a checkout" "$(try readme-checkout "$readme_program" \
    "$(readme_commands 1 | sed "s|^go get.*|$(readme_commands 2 | sed -e '/^git clone/d' -e "s|=\.\./cgoheap|=$root|")|")")" "${main_job[@]}"

# One lost block at rate 1, printed by the program itself.
exact_program=$(cat <<'GO'
package main

// #cgo CPPFLAGS: -include cgoheap.h
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"os"
	"runtime/pprof"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

func leak() { C.CString("never freed") }

func main() {
	cgoheap.SetRate(1)
	leak()
	if err := pprof.Lookup("cgoheap").WriteTo(os.Stdout, 1); err != nil {
		fmt.Println(err)
	}
}
GO
)

mkdir "$work/header" && cd "$work/header"
go mod init example.com/header 2>/dev/null
echo "$exact_program" >main.go
go get "$module/go@$version" 2>/dev/null
CGO_CPPFLAGS=$(go run $module/go/cmd/cgoheap cflags)
export CGO_CPPFLAGS
shows "go get from a proxy, go run" "$(go run .)" "${leak[@]}" 'main.go:15'
sum=$(cat go.sum)

go mod vendor
shows "the flag in a vendored copy" "$(sed -i "s|^package main|&\n\nimport _ \"$module/go/cmd/cgoheap\"|" main.go
    go list -mod=vendor -f '{{.Dir}}' $module/include)" "^$PWD/vendor/$module/include\$"
sed -i '/go\/cmd\/cgoheap"$/d' main.go
CGO_CPPFLAGS=-I$PWD/vendor/$module/include go build -mod=vendor -o vendored .
shows "go mod vendor, -mod=vendor" "$(./vendored)" "${leak[@]}"
[ -s "vendor/$module/go/internal/lib/linux_amd64/LICENSES.txt" ] || { echo "FAILED: vendoring lost the licences" >&2; exit 1; }
rm -rf vendor

# (compiles the standard library once more)
[ -z "${CGOHEAP_LONG:-}" ] || shows "GOFLAGS=-trimpath" "$(GOFLAGS="$GOFLAGS -trimpath" go run .)" "${leak[@]}"
shows "go vet is quiet" "[$(go vet ./... 2>&1)]" '^\[\]$'
go build -o with . # for the chroot

# Generated copy of the header: no variable in the environment
mkdir generated
cat >generated/generated.go <<GO
package generated

//go:generate go run $module/go/cmd/cgoheap header .

// #cgo CPPFLAGS: -I\${SRCDIR} -include cgoheap.h
// #include <stdlib.h>
import "C"

func Leak() { C.CString("never freed") }
GO
sed -i 's|^import "C"$|&\n\nimport "example.com/header/generated"|; s|^\tleak()|\tgenerated.Leak()|' main.go
(unset CGO_CPPFLAGS && go generate ./generated)
sed -i 's|^// #cgo.*||; s|^// #include.*||; s|^import "C"$||; s|^func leak.*||' main.go
shows "go generate: a copy of the header" "$(unset CGO_CPPFLAGS && go run .)" 'C\.CString' 'generated\.Leak'

# The whole process, by a blank import
mkdir "$work/interpose" && cd "$work/interpose"
go mod init example.com/interpose 2>/dev/null
sed -e '/^\/\/ #cgo/d' -e "s|^\tcgoheap \"|\t_ \"$module/go/interpose\"\n&|" <<<"$exact_program" >main.go
unset CGO_CPPFLAGS
go get "$module/go@$version" 2>/dev/null
shows "blank import of interpose" "$(go run .)" "${leak[@]}"
go build -o with .

# Without cgo: the standard library once more as well
if [ -n "${CGOHEAP_LONG:-}" ]; then
mkdir "$work/without" && cd "$work/without"
go mod init example.com/without 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func main() {
	fmt.Println(errors.Is(cgoheap.WriteHeapProfile(os.Stdout), errors.ErrUnsupported))
}
GO
go get "$module/go@$version" 2>/dev/null
shows "CGO_ENABLED=0 says ErrUnsupported" "$(CGO_ENABLED=0 go run .)" '^true$'
fi

# The tag itself, from a git repository: what the public proxy would do. The module must be the same to the bit.
cd "$work/header"
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$work/dist/repository.git.insteadOf" GIT_CONFIG_VALUE_0="https://$module"
mkdir "$work/tag" && cd "$work/tag"
go mod init example.com/tag 2>/dev/null
sed "s|example.com/header|example.com/tag|" "$work/interpose/main.go" >main.go
GOMODCACHE=$work/othercache GOPROXY=direct go get "$module/go@$version" 2>/dev/null
[ "$(grep "$module $version h1" go.sum)" = "$(grep "$module $version h1" <<<"$sum")" ] || { echo "FAILED: tag and proxy differ" >&2; exit 1; }
shows "go get from a release tag" "$(GOMODCACHE=$work/othercache GOPROXY=off go run .)" "${leak[@]}"

# A new archive under the same program: go test must notice
cd "$work/interpose"
cp -r "$(go list -m -f '{{.Dir}}' $module)" "$work/copy" && chmod -R u+w "$work/copy"
go mod edit -replace "$module=$work/copy"
printf 'package main\n\nimport "testing"\n\nfunc TestLeak(t *testing.T) { leak() }\n' >main_test.go
go test . >/dev/null
shows "go test of an unchanged archive is cached" "$(go test .)" '(cached)'
lib=$work/copy/go/internal/lib/linux_amd64 # as make build leaves it: another text in the archive, and its digest
sed -i 's/a bug in cgoheap: the call/A BUG IN CGOHEAP: the call/' "$lib/libcgoheap.a"
sed -i "s/sha256:.*/sha256:$(sha256sum <"$lib/libcgoheap.a" | cut -d' ' -f1)\"/" "$lib/digest.h"
shows "go test of a new archive is not" "[$(go test . | grep -c cached)]" '^\[0\]$'

# Slim image: the loader, libc and the programs
if [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
    root=$work/root
    mkdir -p "$root"/{lib64,lib/x86_64-linux-gnu,proc,tmp}
    cp /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
    cp /lib/x86_64-linux-gnu/lib{c,m}.so.6 "$root/lib/x86_64-linux-gnu/"
    cp "$work/header/with" "$root/header" && cp "$work/interpose/with" "$root/interpose"
    # /proc as container runtimes give it; and once without, which nothing may need to run
    for program in header interpose; do
        needed=$(readelf -d "$root/$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
        case " $needed" in *libgcc_s*) echo "FAILED: $program needs $needed" >&2; exit 1 ;; esac
        shows "slim image, $program door (needs $needed)" \
            "$(unshare --mount sh -c "mount --bind /proc '$root/proc' && exec chroot '$root' /$program")" "${leak[@]}"
        shows "the same without /proc" "$(chroot "$root" "/$program")" 'main\.leak'
    done
else
    echo "skip   slim image: needs root and mount namespaces"
fi
echo "$passed passed"
