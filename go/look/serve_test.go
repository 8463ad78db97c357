package look

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// ask asks the handlers as they are registered.
func ask(t *testing.T, method, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	defer Register(mux)()
	r := httptest.NewRequest(method, path, nil)
	r.Host = "127.0.0.1:6060"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

var paths = []string{"/debug/cgoheap/", "/debug/cgoheap/flame", "/debug/cgoheap/metrics", "/debug/cgoheap/verdict.json", "/debug/cgoheap/verdict.md", "/debug/cgoheap/profile", "/debug/cgoheap/allheap",
	"/debug/cgoheap/delta", "/debug/cgoheap/goheap", "/debug/cgoheap/goroutine", "/debug/pprof/allheap", "/debug/pprof/delta_cgoheap"}

func TestEveryEndpoint(t *testing.T) {
	if !capi.Supported {
		t.Skip("serves nothing here")
	}
	for _, path := range paths {
		if w := ask(t, "GET", path); w.Code != 200 || w.Body.Len() == 0 || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("GET %s: %d, %d bytes, %v", path, w.Code, w.Body.Len(), w.Header())
		}
		head := 200
		if strings.Contains(path, "delta") { // an answer counts as told
			head = 405
		}
		if w := ask(t, "HEAD", path); w.Code != head {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
		if w := ask(t, "DELETE", path); w.Code != 405 || !strings.HasPrefix(w.Header().Get("Allow"), "GET") {
			t.Errorf("DELETE %s: %d %v", path, w.Code, w.Header())
		}
		if w := ask(t, "GET", path, "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
			t.Errorf("GET %s as an image of another site: %d", path, w.Code)
		}
		link := 200
		if strings.Contains(path, "delta") {
			link = 403
		}
		if w := ask(t, "GET", path, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"); w.Code != link {
			t.Errorf("GET %s by a link of another site: %d, want %d", path, w.Code, link)
		}
		if w := ask(t, "GET", path+"?%zz"); w.Code != 400 && !strings.Contains(path, "metrics") && !strings.Contains(path, "allheap") {
			t.Errorf("GET %s?%%zz: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/debug/cgoheap/x", "/debug/cgoheap/flame/x", "/debug/cgoheap/stack?id=4000000000"} {
		if w := ask(t, "GET", path); w.Code != 404 {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
}

func TestBadValuesAnswer400(t *testing.T) {
	for _, query := range []string{"?since=x", "?since=-1", "?since=99999999999999999999", "?since=1&since=2", "?age=x", "?age=-1s", "?age=0s", "?age=1",
		"flame?of=x", "flame?of=<script>", "flame?of=c&of=c", "flame?at=!", "flame?at=zzzzzzzzzzzzzzzzzzzz", "stack", "stack?id=x", "stack?id=-1",
		"goheap?debug=2", "goroutine?debug=x", "delta?max=0", "delta?max=x", "delta?max=99999999", "delta?id=" + strings.Repeat("x", 65), "delta?id=%ff",
		"delta?id=1&id=2", "profile?debug=3", "profile?gc=2", "profile?seconds=0", "profile?min_age=2h&max_age=1h", "profile?gc=1&gc=0"} {
		w := ask(t, "GET", "/debug/cgoheap/"+query)
		if w.Code != 400 && capi.Supported || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v %s", query, w.Code, w.Header(), w.Body)
		}
	}
}

func TestRequestsThatHoldSomethingAreNotForLinks(t *testing.T) {
	for _, query := range []string{"profile?gc=1", "profile?seconds=3600", "delta"} {
		w := ask(t, "GET", "/debug/cgoheap/"+query, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document")
		if w.Code != 403 && capi.Supported {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// Too many requests at a time are told so, at each endpoint.
func TestOneRequestTooManyIsAnswered503(t *testing.T) {
	if !capi.Supported {
		t.Skip("serves nothing here")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for path, gate := range map[string]interface {
		Enter(context.Context) (func(), error)
		Limits() (int, int)
	}{"": pageGate, "flame": flameGate, "metrics": metricsGate, "allheap": profileGate, "delta": profileGate, "goheap": profileGate} {
		working, waiting := gate.Limits()
		var all []func()
		for range working {
			leave, err := gate.Enter(ctx)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, leave)
		}
		wait, stop := context.WithCancel(ctx)
		gone := make(chan struct{})
		for range waiting {
			go func() {
				gate.Enter(wait)
				gone <- struct{}{}
			}()
		}
		w := httptest.NewRecorder()
		for deadline := time.Now().Add(10 * time.Second); w.Code != 503 && time.Now().Before(deadline); {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			w = httptest.NewRecorder()
			Handler().ServeHTTP(w, httptest.NewRequest("GET", "/"+path, nil).WithContext(short))
			cancel()
		}
		if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%q: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
		stop()
		for range waiting {
			<-gone
		}
		for _, leave := range all {
			leave()
		}
		if w := ask(t, "GET", "/debug/cgoheap/"+path); w.Code != 200 {
			t.Errorf("%q afterwards: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestConsumersAreEvictedOldestFirst(t *testing.T) {
	if !capi.Supported {
		t.Skip("tells nothing here")
	}
	var c consumers
	for i := range maxConsumers {
		if _, err := c.get(fmt.Sprint(i)).next(10); err != nil {
			t.Fatal(err)
		}
	}
	busy := c.get("1") // it has asked last
	if busy.told == nil {
		t.Error("1 was forgotten")
	}
	c.get("new")
	if c.all["0"] != nil || c.all["1"] == nil || len(c.all) != maxConsumers {
		t.Errorf("%v", c.all)
	}
	// One for which a profile is being made is forgotten when that is over.
	busy.mu.Lock()
	for i := range maxConsumers {
		c.get(fmt.Sprint("other", i))
	}
	if c.all["1"] != nil || busy.told == nil {
		t.Error("1 was not evicted, or while it worked")
	}
	busy.mu.Unlock()
	busy.forgetIfGone()
	if busy.told != nil {
		t.Error("1 is not forgotten")
	}
	// What it was told isn't told again.
	if back := c.get("1"); !back.returned {
		t.Error("1 has come back as a new one")
	}
	for i := range 2 * maxEvicted {
		c.get(fmt.Sprint("many", i))
	}
	if len(c.evicted) > maxEvicted || len(c.all) > maxConsumers {
		t.Errorf("%d evicted, %d kept", len(c.evicted), len(c.all))
	}
	for _, other := range c.all {
		other.forget()
	}
}

func TestNamesThatCanOnlyBeOurs(t *testing.T) {
	domains := ownDomains
	defer func() { ownDomains = domains }()
	ownDomains = func() []string {
		return append([]string{"localhost", "local", "internal"}, searchDomains("nameserver 10.0.0.1\nsearch prod.example.com. com\n")...)
	}
	for host, want := range map[string]bool{"127.0.0.1:6060": true, "[::1]:6060": true, "10.1.2.3": true, "localhost:80": true, "LOCALHOST": true, "shop": true,
		"shop:6060": true, "a.localhost": true, "shop.local.": true, "shop.prod.example.com:6060": true, "prod.example.com": true,
		"rebind.evil.example": false, "evil.com": false, "xprod.example.com": false, "127.0.0.1.evil.example:6060": false, "": false} {
		if got := ownName(hostName(&http.Request{Host: host})); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func TestCommandsToCopyHoldNothingThatAShellReads(t *testing.T) {
	for _, test := range []struct{ host, uri, headers, want string }{
		{"shop:6060", "/debug/cgoheap/?since=1", "", "http://shop:6060/debug/cgoheap/"},
		{"[::1]:80", "/admin/memory/", "", "http://[::1]:80/admin/memory/"},
		{"x;reboot", "/debug/cgoheap/", "", ""},
		{"$(id)", "/debug/cgoheap/", "", ""},
		{"", "/debug/cgoheap/", "", ""},
		{"-x", "/debug/cgoheap/", "", ""},
		{"shop", "/a'b/", "", ""},
		{"shop", "http://other/debug/cgoheap/", "", "http://shop/debug/cgoheap/"},
		// A proxy may have taken a prefix off.
		{"shop", "/debug/cgoheap/", "X-Forwarded-For: 1.2.3.4", ""},
		{"shop", "/debug/cgoheap/", "X-Forwarded-Prefix: /svc/a\nX-Forwarded-Host: ops.example\nX-Forwarded-Proto: https", "https://ops.example/svc/a/debug/cgoheap/"},
		{"shop", "/debug/cgoheap/", "X-Forwarded-Prefix: /';reboot;'", ""},
		{"shop", "/debug/cgoheap/", "X-Forwarded-Prefix: /a\nX-Forwarded-Host: $(id)", ""},
	} {
		r := &http.Request{Host: test.host, RequestURI: test.uri, Header: http.Header{}, URL: &url.URL{Path: "/"}}
		for line := range strings.Lines(test.headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			r.Header.Set(name, value)
		}
		if got := baseURL(r); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

var tokenPattern = regexp.MustCompile(`name="token" value="([^"]+)"`)

// What a page of somebody's own name can do, whose name stands for our address by now.
func TestPostStandsUpToARebentName(t *testing.T) {
	if !capi.Supported {
		t.Skip("serves nothing here")
	}
	mux := http.NewServeMux()
	defer Register(mux)()
	server := httptest.NewServer(mux)
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	do := func(method, host, path, token, headers string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(url.Values{"token": {token}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			r.Host = host
		}
		if token != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for line := range strings.Lines(headers) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			r.Header.Set(name, value)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body)
	}
	token := func(host, headers string) string {
		t.Helper()
		_, text := do("GET", host, "/debug/cgoheap/", "", headers)
		if m := tokenPattern.FindStringSubmatch(text); m != nil {
			return m[1]
		}
		if strings.Contains(text, "<button>gc") || !strings.Contains(text, "http://"+server.Listener.Addr().String()+"/debug/cgoheap/") {
			t.Errorf("a page without a token, with buttons or without another address: %s", text)
		}
		return ""
	}
	ours := token("", "")
	if ours == "" {
		t.Fatal("the page has no token")
	}
	const evil = "rebind.evil.example"
	if token(evil, "") != "" {
		t.Error("the token is told to anybody's name")
	}
	if token("ops.example.com", "Sec-Fetch-Site: none") != ours {
		t.Error("the page that was loaded over https, through a proxy, has no token")
	}
	for _, test := range []struct {
		host, token, headers string
		want                 int
	}{
		{"", "", "", 303},   // curl
		{"", ours, "", 303}, // the page
		{"", "other", "", 403},
		{"", "", "Sec-Fetch-Site: same-origin", 303},
		{"", ours, "Sec-Fetch-Site: same-origin", 303},
		{"", "", "Sec-Fetch-Site: cross-site", 403},
		{"", ours, "Sec-Fetch-Site: cross-site", 403},
		{"", "", "Sec-Fetch-Site: same-site", 403},
		{"", "", "Origin: https://evil.example", 403},
		{"", "", "Origin: null", 403},
		{"", ours, "Origin: https://ops.example", 303}, // a proxy has changed the host
		{"", "", "Referer: http://evil.example/", 403},
		{evil, "", "", 403},
		{evil, "", "Origin: http://" + evil, 403},
		{evil, "", "Sec-Fetch-Site: same-origin\nOrigin: http://" + evil, 403},
		{evil, "", "Sec-Fetch-Site: same-origin\nOrigin: https://" + evil, 403},
		{evil, ours, "Origin: http://" + evil, 403}, // it can't have it, and if it had
		{"ops.example.com", ours, "Sec-Fetch-Site: same-origin\nOrigin: https://ops.example.com", 303},
	} {
		if got, body := do("POST", test.host, "/debug/cgoheap/trim", test.token, test.headers); got != test.want {
			t.Errorf("%+v: %d %s", test, got, body)
		}
	}
	if got, _ := do("POST", "", "/debug/cgoheap/trim", strings.Repeat("x", 2*maxForm), ""); got != 400 {
		t.Errorf("a large form: %d", got)
	}
}

func TestPageIsFoundWhereverItIsMounted(t *testing.T) {
	if !capi.Supported {
		t.Skip("serves nothing here")
	}
	plain, stripped := http.NewServeMux(), http.NewServeMux()
	plain.Handle("/admin/memory/", Handler())
	plain.Handle("/other", Handler())
	stripped.Handle("/admin/memory/", http.StripPrefix("/admin/memory", Handler()))
	stripped.Handle("/other", http.StripPrefix("/other", Handler()))
	for name, mux := range map[string]http.Handler{"plain": plain, "stripped": stripped} {
		for path, want := range map[string]string{"/admin/memory/": "200", "/admin/memory/flame": "200", "/admin/memory/profile": "200", "/admin/memory/x": "404",
			"/admin/memory/metrics?a=b": "200", "/other?age=1s": "301 ./other/?age=1s"} {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if got := strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Header().Get("Location"))); got != want {
				t.Errorf("%s %s: %s, want %s", name, path, got, want)
			}
		}
	}
}

func TestRegisterBesideAProgramsOwnPatterns(t *testing.T) {
	for _, patterns := range [][]string{{"GET /"}, {"/"}, {"POST /"}, {"GET /{path...}"}, {"/debug/"}, {"GET /debug/{what}"}, {"GET /debug/pprof/", "GET /"},
		{"GET example.com/"}, {"GET /debug/pprof/cgoheap"}} {
		mux := http.NewServeMux()
		for _, p := range patterns {
			mux.Handle(p, http.NotFoundHandler())
		}
		Register(mux)()
	}
}

func TestStopEndsTheHistory(t *testing.T) {
	history := memory.NewHistory()
	history.SetInterval(10 * time.Millisecond)
	u := users{of: &measuring{history: history}}
	ticking := func() bool {
		u.of.mu.Lock()
		defer u.of.mu.Unlock()
		return u.of.timer != nil
	}
	a, b := u.join(), u.join()
	a()
	a() // once more does nothing
	if !ticking() {
		t.Error("the first stop ends it for both")
	}
	moments := func() int {
		recent, _ := history.Moments()
		return len(recent)
	}
	for deadline := time.Now().Add(10 * time.Second); capi.Supported && moments() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d moments", moments())
		}
	}
	b()
	if ticking() {
		t.Error("it goes on")
	}
	for range 100 {
		u.join()()
	}
	before := moments()
	time.Sleep(50 * time.Millisecond)
	if ticking() || moments() != before {
		t.Error("it goes on")
	}
}

func TestAddressIsOfTheConnection(t *testing.T) {
	r := httptest.NewRequest("GET", "/debug/cgoheap/?x", nil)
	if got := addressURL(r); got != "" {
		t.Errorf("without a connection: %s", got)
	}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 6060}))
	if got := addressURL(r); got != "http://10.1.2.3:6060/debug/cgoheap/" {
		t.Error(got)
	}
}
