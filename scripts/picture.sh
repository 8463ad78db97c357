#!/usr/bin/env bash
# Makes docs/flame.png, the picture in the README: the flame graph of `go tool pprof -http` on the running example, as a real
# browser shows it. `scripts/picture.sh index FILE` takes the server's /debug/pprof/ page instead.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/leaky-server.sh

viewer_pid=
profile_dir=
stop() {
    [[ -z $viewer_pid ]] || kill "$viewer_pid" 2>/dev/null || true
    [[ -z $profile_dir ]] || rm -rf "$profile_dir"
    stop_server
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[[ -n $chromium ]] || { echo "picture.sh: no Chromium: apt install chromium" >&2; exit 1; }

# screenshot URL FILE WIDTH,HEIGHT: without a sandbox, which containers don't allow, on our own pages only.
screenshot() {
    profile_dir=$(mktemp -d)
    timeout 60 "$chromium" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
        --user-data-dir="$profile_dir" --window-size="$3" --virtual-time-budget=5000 --screenshot="$2" "$1" \
        >"$out/chromium.log" 2>&1 || { cat "$out/chromium.log" >&2; exit 1; }
    [[ -s $2 ]] || { echo "picture.sh: Chromium wrote no $2" >&2; exit 1; }
    echo "$2: $(stat -c %s "$2") bytes"
}

build_server
start_server 127.0.0.1:0
get '/cstring?times=12000' >/dev/null
get '/library?times=500' >/dev/null
get '/thread?times=1000' >/dev/null

if [[ ${1:-} == index ]]; then
    screenshot "$server_url/debug/pprof/" "${2:?a file to write}" 900,700
    exit
fi

# The program itself and not `go tool`, which would leave it running when it is stopped.
pprof=$(go tool -n pprof)
PPROF_TMPDIR=$PWD/$out "$pprof" -no_browser -http=127.0.0.1: "$server_url/debug/pprof/cgoheap" 2>"$out/viewer.log" &
viewer_pid=$!
viewer_url=
for _ in {1..100}; do
    viewer_url=$(sed -n 's/^Serving web UI on //p' "$out/viewer.log")
    # It says so just before it listens.
    [[ -n $viewer_url ]] && (exec 4<>"/dev/tcp/127.0.0.1/${viewer_url##*:}") 2>/dev/null && break
    sleep 0.1
done
[[ -n $viewer_url ]] || { cat "$out/viewer.log" >&2; exit 1; }
mkdir -p docs
screenshot "$viewer_url/ui/flamegraph" docs/flame.png 1400,320
