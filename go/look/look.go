package look

import (
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// server is the one that all handlers of the process share, since there is one history.
var server = struct {
	began   time.Time
	history *memory.History
	users   users
	actions actions
	deltas  consumers
	token   string // shows that whoever sends it has read the page
}{began: time.Now(), history: processHistory, users: users{of: &measuring{history: processHistory}}, token: rand.Text()}

var processHistory = memory.NewHistory()

// users counts who wants the history to be kept.
type users struct {
	of *measuring
	mu sync.Mutex // protects n, and is held while the history is started and stopped
	n  int
}

// join starts the history with the first user, and returns a function that stops it with the last.
func (u *users) join() (leave func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.n++; u.n == 1 {
		u.of.start()
	}
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.n--; u.n == 0 {
			u.of.stop()
		}
	})
}

// SetInterval sets the least time between two moments of the history: 2 s unless it is set. A moment that takes long makes
// the pause longer. It may be called at any time.
func SetInterval(d time.Duration) {
	server.history.SetInterval(d)
}

// Register registers all of this package's handlers on mux, at the paths in the package's description. It panics when they
// are registered there already, as mux does.
//
// The function that it returns ends the measuring, unless another call of Register or [Handler] goes on with it: it returns
// when no measurement runs any more. What is registered goes on answering, from what it measures at each request. A server
// that lives as long as the process needs not call it. It may be called more than once, from any goroutine.
func Register(mux *http.ServeMux) (stop func()) {
	const page = "/debug/cgoheap/"
	h, slash := handler{below: page}, readOnly(addSlash) // the mux's own redirect would lose what a proxy has stripped
	if !knowsMethods() {
		mux.Handle(page, h)
		mux.Handle("/debug/cgoheap", slash)
		mux.Handle("/debug/pprof/delta_cgoheap", Delta())
		mux.Handle("/debug/pprof/allheap", AllHeap())
		return server.users.join()
	}
	// With the method, or a pattern would conflict with net/http/pprof's, and with the program's own "GET /".
	mux.Handle("GET "+page, h)
	mux.Handle("GET /debug/cgoheap", slash)
	mux.Handle("POST "+page+"gc", h)
	mux.Handle("POST "+page+"trim", h)
	mux.Handle("GET /debug/pprof/delta_cgoheap", Delta())
	mux.Handle("GET /debug/pprof/allheap", AllHeap())
	return server.users.join()
}

// knowsMethods says whether patterns may begin with a method: the setting httpmuxgo121=1, wherever it comes from, has
// net/http take that for a part of the host's name.
func knowsMethods() bool {
	mux := http.NewServeMux()
	mux.Handle("GET /probe", http.NotFoundHandler())
	probe, err := http.NewRequest(http.MethodGet, "/probe", nil)
	if err != nil {
		return true
	}
	_, pattern := mux.Handler(probe)
	return pattern != ""
}

// Handler returns the handler of the page and of what lies beside it: flame, profile, metrics, verdict.json,
// verdict.md, allheap, delta, goheap, goroutine, stack, and for POST gc and trim. It goes by the end of the path, so it may be mounted anywhere, with the prefix
// stripped or not, at a path that ends with a slash or without:
//
//	mux.Handle("/admin/memory/", look.Handler())
//	mux.Handle("/admin/memory/", http.StripPrefix("/admin/memory", look.Handler()))
//	router.Mount("/debug/cgoheap", look.Handler()) // chi
//
// All links of the page are relative. Requests to gc and trim must be POST, and from the page itself or from no browser; see
// the package's description for the limits that hold.
func Handler() http.Handler {
	server.users.join()
	return handler{}
}

// handler goes by the last part of the path.
type handler struct {
	below string // where it is, when that is known; else it serves the page at each path that ends with a slash
}

// endpoints are what there is beside the page.
var endpoints = map[string]http.Handler{}

func init() { // since the page lists some of them
	endpoints["flame"] = readOnly(serveFlame)
	endpoints["metrics"] = readOnly(serveMetrics)
	endpoints["stack"] = readOnly(serveStack)
	endpoints["verdict.json"] = readOnly(serveVerdict("application/json", (*verdictReport).json))
	endpoints["verdict.md"] = readOnly(serveVerdict("text/markdown; charset=utf-8", (*verdictReport).markdown))
	endpoints["profile"] = cgoheap.Handler()
	endpoints["allheap"] = AllHeap()
	endpoints["delta"] = Delta()
	endpoints["goheap"] = readOnly(serveGo("heap"))
	endpoints["goroutine"] = readOnly(serveGo("goroutine"))
	endpoints["gc"] = serveAction(collectGarbage)
	endpoints["trim"] = serveAction(trim)
}

func (s handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	path := r.URL.Path
	last := path[strings.LastIndexByte(path, '/')+1:]
	switch next := endpoints[last]; {
	case s.below != "" && strings.TrimPrefix(path, s.below) != last:
		http.NotFound(w, r)
	case next != nil:
		next.ServeHTTP(w, r)
	case !strings.HasSuffix(clientPath(r), "/") && (path == "" || path == "/" || mounted(r)):
		readOnly(addSlash).ServeHTTP(w, r)
	case last == "":
		readOnly(servePage).ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// mounted says whether the handler was registered at exactly this path.
func mounted(r *http.Request) bool {
	_, pattern, _ := strings.Cut(r.Pattern, "/")
	return r.Pattern != "" && "/"+pattern == r.URL.Path
}

// addSlash leads from the page's path without its slash, where its links would go astray, to that with it. Relative, since a
// prefix may have been taken off before us.
func addSlash(w http.ResponseWriter, r *http.Request) {
	asked := clientPath(r)
	to := "./" + asked[strings.LastIndexByte(asked, '/')+1:] + "/"
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusMovedPermanently)
}
