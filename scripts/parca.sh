#!/usr/bin/env bash
# Builds Parca in build/tools, unless it is there, and prints where. Only for tests/look; a quarter of an hour on two cores.
#
# `go install github.com/parca-dev/parca/cmd/parca@v0.28.0` would do, were it not that it asks for the list of the module's versions
# too, which a proxy may refuse. So it is built from a module of ours with its go.mod, which pins what it was released with.
set -euo pipefail
version=v0.28.0
tools=$(cd "$(dirname "$0")/.." && pwd)/build/tools
program=$tools/parca-$version
if [ ! -x "$program" ]; then
    echo "parca: building $version" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    export GOWORK=off GOFLAGS=-mod=mod
    cd "$work"
    go mod init parcabuild 2>/dev/null
    source=$(go mod download -json "github.com/parca-dev/parca@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
    sed 's|^module .*|module parcabuild|' "$source/go.mod" >go.mod
    cat "$source/go.sum" >go.sum
    go mod edit -require "github.com/parca-dev/parca@$version"
    mkdir -p "$tools"
    go build -o "$program.new" github.com/parca-dev/parca/cmd/parca
    mv "$program.new" "$program"
fi
echo "$program"
