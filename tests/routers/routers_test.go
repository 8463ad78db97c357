// Package routers_test serves package look by the routers that programs use, in all the ways in which they mount a handler, and
// behind proxies: each link of the page and each command that it prints has to work there. It also stops what was started, for
// goleak.
package routers_test

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	httppprof "net/http/pprof"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"
	"go.uber.org/goleak"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
	"github.com/cgoheap/cgoheap/go/look"
)

func stripped(prefix string) http.Handler { return http.StripPrefix(prefix, look.Handler()) }

// registered is a program's mux as net/http has it, with a page of its own for everything else.
func registered() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "the program's own page") })
	m.HandleFunc("GET /debug/pprof/", httppprof.Index)
	m.Handle("GET /debug/pprof/cgoheap", cgoheap.Handler())
	look.Register(m)
	return m
}

// proxy passes requests on to another server, with the prefix taken off.
func proxy(t *testing.T, prefix string, to http.Handler, rewrite func(*httputil.ProxyRequest)) http.Handler {
	back := httptest.NewServer(to)
	t.Cleanup(back.Close)
	u, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	m := http.NewServeMux()
	m.Handle(prefix+"/", http.StripPrefix(prefix, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		rewrite(r)
	}}))
	return m
}

func TestPageWorksBehindEveryRouter(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	const at = "/debug/cgoheap"
	one := func(m func(m *http.ServeMux)) http.Handler {
		mux := http.NewServeMux()
		m(mux)
		return mux
	}
	withChi := func(f func(r chi.Router)) http.Handler {
		r := chi.NewRouter()
		f(r)
		return r
	}
	withGin := func(f func(r *gin.Engine)) http.Handler {
		r := gin.New()
		f(r)
		return r
	}
	withEcho := func(f func(r *echo.Echo)) http.Handler {
		r := echo.New()
		f(r)
		return r
	}
	withGorilla := func(f func(r *mux.Router)) http.Handler {
		r := mux.NewRouter()
		f(r)
		return r
	}
	for _, test := range []struct {
		name    string
		handler http.Handler
		path    string // of the page
		noSlash bool   // the router passes the path without a slash on
	}{
		{"net/http, registered beside GET /", registered(), at, true},
		{"net/http, plain", one(func(m *http.ServeMux) { m.Handle("/admin/memory/", look.Handler()) }), "/admin/memory", true},
		{"net/http, stripped", one(func(m *http.ServeMux) { m.Handle("/admin/memory/", stripped("/admin/memory")) }), "/admin/memory", true},
		{"net/http, at the root", look.Handler(), "", false},
		{"a mux within a mux", one(func(m *http.ServeMux) { m.Handle("/svc/", http.StripPrefix("/svc", registered())) }), "/svc" + at, false},
		{"chi Mount", withChi(func(r chi.Router) { r.Mount(at, look.Handler()) }), at, true},
		{"chi Mount, stripped", withChi(func(r chi.Router) { r.Mount(at, stripped(at)) }), at, true},
		{"chi Mount with a slash", withChi(func(r chi.Router) { r.Mount(at+"/", look.Handler()) }), at, false},
		{"chi Mount with a slash, stripped", withChi(func(r chi.Router) { r.Mount(at+"/", stripped(at)) }), at, false},
		{"chi Handle", withChi(func(r chi.Router) { r.Handle(at+"/*", look.Handler()) }), at, false},
		{"chi Route", withChi(func(r chi.Router) {
			r.Route("/ops", func(r chi.Router) { r.Mount("/memory", look.Handler()) })
		}), "/ops/memory", true},
		{"chi Mount of a registered mux", withChi(func(r chi.Router) { r.Mount("/debug", registered()) }), at, true},
		{"gin", withGin(func(r *gin.Engine) { r.Any(at+"/*x", gin.WrapH(look.Handler())) }), at, true},
		{"gin, stripped", withGin(func(r *gin.Engine) { r.Any(at+"/*x", gin.WrapH(stripped(at))) }), at, true},
		{"gin group", withGin(func(r *gin.Engine) { r.Group("/ops").Any("/memory/*x", gin.WrapH(look.Handler())) }), "/ops/memory", true},
		{"echo", withEcho(func(r *echo.Echo) { r.Any(at+"/*", echo.WrapHandler(look.Handler())) }), at, false},
		{"echo, stripped", withEcho(func(r *echo.Echo) { r.Any(at+"/*", echo.WrapHandler(stripped(at))) }), at, false},
		{"echo with *", withEcho(func(r *echo.Echo) { r.Any(at+"*", echo.WrapHandler(stripped(at))) }), at, true},
		{"gorilla", withGorilla(func(r *mux.Router) { r.PathPrefix(at + "/").Handler(look.Handler()) }), at, false},
		{"gorilla, stripped", withGorilla(func(r *mux.Router) { r.PathPrefix(at).Handler(stripped(at)) }), at, true},
		{"gorilla subrouter", withGorilla(func(r *mux.Router) { r.PathPrefix("/ops").Subrouter().PathPrefix("/memory/").Handler(look.Handler()) }), "/ops/memory", false},
		{"proxy that keeps Host", proxy(t, "/svc/a", registered(), func(r *httputil.ProxyRequest) { r.SetXForwarded(); r.Out.Host = r.In.Host }), "/svc/a" + at, true},
		{"proxy that changes Host", proxy(t, "/svc/a", registered(), func(r *httputil.ProxyRequest) { r.SetXForwarded() }), "/svc/a" + at, true},
		{"proxy that says its prefix", proxy(t, "/svc/a", registered(), func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.Header.Set("X-Forwarded-Prefix", "/svc/a")
		}), "/svc/a" + at, true},
		{"proxy before chi", proxy(t, "/svc/a", withChi(func(r chi.Router) { r.Mount(at, stripped(at)) }), func(r *httputil.ProxyRequest) { r.SetXForwarded() }), "/svc/a" + at, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			defer server.Close()
			checkPage(t, server, test.path, test.noSlash)
		})
	}
}

var (
	linkPattern    = regexp.MustCompile(`(?:href|action)="([^"#]+)`)
	commandPattern = regexp.MustCompile(`go tool pprof -http=: '?([^'\n<]*)`)
	tokenPattern   = regexp.MustCompile(`name="token" value="([^"]+)"`)
)

// checkPage follows all links of the page and runs what it prints.
func checkPage(t *testing.T, server *httptest.Server, path string, noSlash bool) {
	t.Helper()
	client := server.Client()
	get := func(address string) (*http.Response, string) {
		t.Helper()
		answer, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer, string(body)
	}
	address := server.URL + path + "/"
	answer, text := get(address)
	if answer.StatusCode != 200 || !strings.Contains(text, `data-kind="`) {
		t.Fatalf("%s: %s %.200s", address, answer.Status, text)
	}
	if noSlash {
		answer, text := get(strings.TrimSuffix(address, "/"))
		if answer.StatusCode != 200 || !strings.Contains(text, `data-kind="`) || answer.Request.URL.String() != address {
			t.Errorf("without the slash: %s at %s: %.200s", answer.Status, answer.Request.URL, text)
		}
	}
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	token := tokenPattern.FindStringSubmatch(text)
	if token == nil {
		t.Fatal("the page has no token")
	}
	links := 0
	for _, m := range linkPattern.FindAllStringSubmatch(text, -1) {
		to := html.UnescapeString(m[1])
		if strings.HasPrefix(to, "data:") {
			continue
		}
		u, err := base.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if to == "gc" || to == "trim" {
			// As a browser sends it over plain http to a name: no Sec-Fetch-Site.
			r, _ := http.NewRequest("POST", u.String(), strings.NewReader(url.Values{"token": {token[1]}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", server.URL)
			r.Header.Set("Referer", address)
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != 200 || answer.Request.URL.Path != base.Path {
				t.Errorf("the button %s leads to %s: %s %.200s", to, answer.Request.URL, answer.Status, body)
			}
		} else if answer, body := get(u.String()); answer.StatusCode != 200 {
			t.Errorf("the link %s leads to %s: %s %.200s", to, u, answer.Status, body)
		} else if strings.HasPrefix(to, "flame") && !strings.Contains(body, "<svg") && !strings.Contains(body, "There is none.") {
			t.Errorf("the link %s leads to %.200s", to, body)
		}
		links++
	}
	if links < 12 {
		t.Errorf("only %d links", links)
	}
	commands := commandPattern.FindAllStringSubmatch(html.UnescapeString(text), -1)
	for _, m := range commands {
		u, err := url.Parse(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if u.Query().Has("seconds") {
			u.RawQuery = "seconds=1"
		}
		if !strings.HasPrefix(m[1], address) {
			t.Errorf("the command's address %s isn't below %s", m[1], address)
		} else if answer, body := get(u.String()); answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("the command's address %s: %s %.200s", u, answer.Status, body)
		}
	}
	// Behind a proxy that doesn't say what it does, only the browser knows the address.
	if len(commands) == 0 && !strings.Contains(text, "Their addresses are that of this page") {
		t.Error("no command is printed")
	}
}

// The old mux of net/http, asked for in the environment, by a go:debug line, or in go.mod: each a program of its own.
func TestOldMux(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	const program = `package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	_ "net/http/pprof"

	_ "github.com/cgoheap/cgoheap/go/look/register"
)

func main() {
	for _, path := range []string{"/debug/cgoheap/", "/debug/cgoheap", "/debug/cgoheap/metrics", "/debug/pprof/allheap", "/debug/pprof/delta_cgoheap", "/debug/pprof/heap"} {
		w := httptest.NewRecorder()
		http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost"+path, nil))
		fmt.Println(path, w.Code, w.Header().Get("Location"))
	}
	w := httptest.NewRecorder()
	http.DefaultServeMux.ServeHTTP(w, httptest.NewRequest("POST", "http://localhost/debug/cgoheap/trim", nil))
	fmt.Println("trim", w.Code)
}
`
	const want = `/debug/cgoheap/ 200
/debug/cgoheap 301 ./cgoheap/
/debug/cgoheap/metrics 200
/debug/pprof/allheap 200
/debug/pprof/delta_cgoheap 200
/debug/pprof/heap 200
trim 303
`
	for name, how := range map[string]struct{ line, mod, env string }{
		"new": {}, "environment": {env: "GODEBUG=httpmuxgo121=1"}, "line": {line: "//go:debug httpmuxgo121=1\n"}, "go.mod": {mod: "\ngodebug httpmuxgo121=1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			files := map[string]string{"main.go": how.line + program, "go.mod": "module old\n\ngo 1.25\n" + how.mod +
				"\nrequire github.com/cgoheap/cgoheap v0.0.0\n\nreplace github.com/cgoheap/cgoheap => " + root + "\n"}
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			build := exec.Command("go", "build", "-o", "old", ".")
			build.Dir = folder
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			run := exec.Command(filepath.Join(folder, "old"))
			run.Env = append(os.Environ(), how.env)
			out, err := run.CombinedOutput()
			if got := string(bytes.ReplaceAll(out, []byte(" \n"), []byte("\n"))); err != nil || got != want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, want)
			}
		})
	}
}

// A test that builds a server finds nothing left behind: with what Register returns for certain, and without it too, since no
// goroutine waits between two measurements.
func TestNothingIsLeftBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for range 3 {
		stop := look.Register(http.NewServeMux())
		stop()
		goleak.VerifyNone(t, before)
	}
	look.Register(http.NewServeMux())
	goleak.VerifyNone(t, before)
}
