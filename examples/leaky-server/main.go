//go:build cgo

// Command leaky-server is an HTTP server that leaks C memory in the three ways that are hardest to find in a Go program:
// a C.CString that nobody frees, a block deep inside a C library, and one in a thread that C made. Go's own heap profile
// shows none of them; /debug/pprof/cgoheap shows all three.
//
//	go build && ./leaky-server &
//	curl 'localhost:8800/library?times=100'
//	go tool pprof -top -lines http://localhost:8800/debug/pprof/cgoheap
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // the /debug/pprof/ pages, on http.DefaultServeMux
	"strconv"

	cgoheap "github.com/cgoheap/cgoheap/go"         // adds the profile "cgoheap" to them
	_ "github.com/cgoheap/cgoheap/go/look/register" // and the page /debug/cgoheap/
)

const help = `leaky-server leaks C memory on purpose.

  /cstring    Go forgets to free a C.CString
  /library    a C library loses memory, three calls deep
  /thread     so does a thread that C made
  /proper     all of the above, and everything is freed

Each takes ?times=N to do it N times, and ?free=1 to do it without the leak.

  /debug/pprof/            Go's profiles, and "cgoheap" among them
  /debug/pprof/cgoheap     the C memory, for go tool pprof; ?debug=1 for reading
`

func main() {
	addr := flag.String("addr", "localhost:8800", "`host:port` to serve on; port 0 picks a free one")
	flag.Parse()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	register(http.DefaultServeMux)
	fmt.Printf("listening on http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

// register adds the handlers to the mux that net/http/pprof has registered its own with.
func register(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, help) })
	mux.HandleFunc("GET /cstring", handle(leakCString))
	mux.HandleFunc("GET /library", handle(leakInLibrary))
	mux.HandleFunc("GET /thread", handle(leakInThread))
	mux.HandleFunc("GET /proper", handle(workProperly))

	// The import alone serves the profile below /debug/pprof/. What net/http/pprof's own handler can't do for it is
	// ?seconds=30 (what changes from now on) and ?gc=1 (after a garbage collection, whose finalizers may free C memory);
	// this one can. The method must be in the pattern: net/http/pprof's "/debug/pprof/" takes all of them, and a pattern
	// that is wider in its method and narrower in its path makes the mux panic.
	mux.Handle("GET /debug/pprof/cgoheap", cgoheap.Handler())
}

// maxTimes bounds what one request may leak.
const maxTimes = 100_000

// handle makes a handler that calls f as often as the query says, and answers how much leaked in truth.
func handle(f func(fixed bool) (leaked int, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		times := 1
		if text := r.FormValue("times"); text != "" {
			var err error
			if times, err = strconv.Atoi(text); err != nil || times < 1 || times > maxTimes {
				http.Error(w, fmt.Sprintf("times: must be a number from 1 to %d", maxTimes), http.StatusBadRequest)
				return
			}
		}
		total := 0
		for range times {
			leaked, err := f(r.FormValue("free") == "1")
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			total += leaked
		}
		fmt.Fprintf(w, "%s: leaked %d bytes in %d calls, %.2fMB as pprof counts\n", r.URL.Path, total, times, float64(total)/(1<<20))
	}
}
