# Sourced by demo.sh and picture.sh: builds examples/leaky-server, runs it, and asks it for pages.
# shellcheck shell=bash

out=build/demo # the program and the profiles that it served
server_pid=
server_url=

build_server() {
    scripts/setup.sh
    mkdir -p "$out"
    rm -f "$out"/pprof.* # what go tool pprof has fetched before
    scripts/build-archive.sh >/dev/null
    CGO_ENABLED=1 go build -o "$out/leaky-server" ./examples/leaky-server
}

# start_server ADDRESS: starts the server and sets server_url.
start_server() {
    local line
    : >"$out/stdout"
    "$out/leaky-server" -addr "$1" >"$out/stdout" &
    server_pid=$!
    for _ in {1..100}; do
        line=$(<"$out/stdout")
        if [[ $line == "listening on "* ]]; then
            server_url=${line#listening on }
            return
        fi
        kill -0 "$server_pid" 2>/dev/null || break # it has said why
        sleep 0.1
    done
    echo "${0##*/}: the server on $1 did not start" >&2
    exit 1
}

stop_server() {
    if [[ -n $server_pid ]]; then
        kill "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
        server_pid=
    fi
}

# get PATH: writes a page to stdout. In bash itself, so that the demo needs no curl.
get() {
    local host=${server_url#http://} status line
    exec 3<>"/dev/tcp/${host%:*}/${host##*:}"
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" "$host" >&3
    read -r _ status _ <&3
    while read -r line <&3 && [[ $line != $'\r' ]]; do :; done
    cat <&3
    exec 3<&-
    [[ $status == 200 ]] || { echo "${0##*/}: GET $server_url$1: status $status" >&2; return 1; }
}
