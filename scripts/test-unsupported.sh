#!/usr/bin/env bash
# Where cgoheap doesn't run, the Go package must compile and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
CGO_ENABLED=0 go test ./go/...
for target in linux/arm64 darwin/arm64 windows/amd64; do
    CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go vet ./go
done
