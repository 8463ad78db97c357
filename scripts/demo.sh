#!/usr/bin/env bash
# Shows in one minute what cgoheap is for: a Go server leaks C memory, and its profile says where.
#
#   scripts/demo.sh                       the story, on a free port; the server is stopped at the end (make demo)
#   scripts/demo.sh serve [HOST:PORT]     the same, and the server stays up until Ctrl-C (make demo-serve)
#
# The server samples at the default interval, as in production: the demo leaks enough for it to see.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/leaky-server.sh

case ${1:-} in
'') address=127.0.0.1:0 ;;
serve) address=${2:-localhost:8800} ;;
*) sed -n '4,5s/^# *//p' "$0" >&2; exit 2 ;;
esac
trap stop_server EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step() { printf '\n=== %s\n' "$1"; }

# run COMMAND...: shows a command and what it says, without the lines that go tool pprof writes to stderr on its way.
run() {
    local word line='$'
    for word; do
        [[ $word =~ ^[[:alnum:]/._:=-]+$ ]] || word=${word@Q}
        line+=" $word"
    done
    echo "$line"
    PPROF_TMPDIR=$PWD/$out "$@" 2>"$out/stderr" || { cat "$out/stderr" >&2; exit 1; }
}

# The frames of the web server, which are the same for every request.
hide='^(net/http|runtime)\.'

step "Build the library and examples/leaky-server"
build_server

step "Start the server and let it leak; each answer says how much in truth"
start_server "$address"
echo "$server_url"
get '/cstring?times=12000'
get '/library?times=500'
get '/thread?times=1000'
get '/proper?times=1000'
echo "the process occupies $(($(awk '/^VmRSS/ {print $2}' "/proc/$server_pid/status") / 1024)) MB"

step "Go's own heap profile: none of it"
run go tool pprof -top -nodecount=3 "$server_url/debug/pprof/heap"

step "cgoheap: the C line that allocated, and the Go call that led there (estimates, from one sample per 512 KiB)"
run go tool pprof -top -lines -hide "$hide" "$server_url/debug/pprof/cgoheap"
get /debug/pprof/cgoheap >"$out/cgoheap.pb.gz"

step "The whole stacks, those with memory in use; the third is a thread of C's own"
run go tool pprof -traces -lines -hide "$hide" "$out/cgoheap.pb.gz" | awk '
    /^\$/ { print; next }
    /^-+\+-+$/ { if (block ~ /\n +[1-9][0-9.]*[A-Za-z]* /) print block; block = $0; next }
    block != "" && !/^ +bytes: / { block = block "\n" $0 }'

step "The same requests with the leaks repaired (?free=1): what has grown since"
get '/cstring?free=1&times=12000'
get '/library?free=1&times=500'
get '/thread?free=1&times=1000'
get /debug/pprof/cgoheap >"$out/later.pb.gz"
run go tool pprof -top -lines -base "$out/cgoheap.pb.gz" "$out/later.pb.gz"

step "To look further"
further() { printf '%-92s %s\n' "$1" "$2"; }
further "go tool pprof -http=: $out/cgoheap.pb.gz" "in the browser; View, Flame Graph"
further "go tool pprof -top -sample_index=alloc_space $out/cgoheap.pb.gz" "all that was ever allocated"
if [[ ${1:-} == serve ]]; then
    further "$server_url/debug/cgoheap/" "what RSS consists of, with a verdict and flame graphs"
    further "$server_url/debug/pprof/" "Go's page, with cgoheap on it"
    further "go tool pprof '$server_url/debug/pprof/cgoheap?seconds=30'" "what grows in 30 seconds"
    printf '\nThe server is up at %s; Ctrl-C stops it.\n' "$server_url"
    wait "$server_pid"
else
    further "make demo-serve" "the same, and the server stays up"
fi
