#!/usr/bin/env bash
# Runs a command on another Linux system, which lies in a folder (as debootstrap makes it), with this machine's kernel. The command, its
# files and Go's folders are there at the same paths as here. Needs root.
#
#     scripts/in-root.sh ROOT COMMAND...
#     go test -exec "$PWD/scripts/in-root.sh ROOT" ./go
set -euo pipefail
root=$1
shift
export IN_ROOT=$root IN_ROOT_FOLDER=$PWD
# In mounts of its own, which end with it.
exec unshare --mount --propagation private bash -c '
set -euo pipefail
mkdir -p "$IN_ROOT/proc" "$IN_ROOT/dev"
mount -t proc proc "$IN_ROOT/proc"
mount --rbind /dev "$IN_ROOT/dev"
repository=$(cd "$(dirname "$0")/.." && pwd)
for folder in /tmp "$HOME" "$repository" "$(go env GOROOT)" "$(go env GOMODCACHE)" "$(go env GOCACHE)"; do
    mkdir -p "$folder" "$IN_ROOT$folder"
    mount --rbind "$folder" "$IN_ROOT$folder"
done
exec chroot "$IN_ROOT" /bin/sh -c "cd \"\$IN_ROOT_FOLDER\" && exec \"\$@\"" sh "$@"
' "$0" "$@"
