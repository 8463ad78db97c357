package look

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// server is the one that all handlers of the process share, since there is one history.
var server = struct {
	start   sync.Once
	began   time.Time
	history *memory.History
	actions actions
	deltas  consumers
}{began: time.Now(), history: memory.NewHistory()}

func start() {
	server.start.Do(func() { go measureForever() })
}

// measureForever takes moments for as long as the process runs.
func measureForever() {
	for {
		began := time.Now()
		server.history.Take()
		time.Sleep(server.history.Pause(time.Since(began)))
	}
}

// SetInterval sets the least time between two moments of the history: 2 s unless it is set. A moment that takes long makes
// the pause longer. It may be called at any time.
func SetInterval(d time.Duration) {
	server.history.SetInterval(d)
}

// Register registers all of this package's handlers on mux, at the paths in the package's description. It panics when they
// are registered there already, as mux does.
func Register(mux *http.ServeMux) {
	get := "GET " // or the pattern would conflict with net/http/pprof's
	if strings.Contains(os.Getenv("GODEBUG"), "httpmuxgo121=1") {
		get = "" // the old mux takes it for a part of the host's name
	}
	mux.Handle("/debug/cgoheap/", http.StripPrefix("/debug/cgoheap", Handler()))
	mux.Handle(get+"/debug/pprof/delta_cgoheap", Delta())
	mux.Handle(get+"/debug/pprof/allheap", AllHeap())
}

// Handler returns the handler of the page and of what lies below it, for paths from which the prefix has been stripped:
//
//	mux.Handle("/admin/memory/", http.StripPrefix("/admin/memory", look.Handler()))
//
// The page's links to profiles are to ../pprof/. Requests to gc and trim must be POST and from the page's own origin.
func Handler() http.Handler {
	start()
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", servePage)
	mux.HandleFunc("/flame", serveFlame)
	mux.HandleFunc("/metrics", serveMetrics)
	mux.Handle("/profile", cgoheap.Handler())
	mux.HandleFunc("/gc", serveAction(collectGarbage))
	mux.HandleFunc("/trim", serveAction(trim))
	return headers(http.NewCrossOriginProtection().Handler(mux))
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
