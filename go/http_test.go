package cgoheap_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	httppprof "net/http/pprof"
	"runtime"
	"strings"
	"testing"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
)

func init() {
	// As the package page says. Importing net/http/pprof has registered "GET /debug/pprof/" there.
	http.Handle("GET /debug/pprof/cgoheap", cgoheap.Handler())
}

// ownMux serves the handler beside net/http/pprof under paths of a program's own.
func ownMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", httppprof.Index) // the index serves the profile by itself
	mux.Handle("/c/memory", cgoheap.Handler())
	return mux
}

const (
	octets = "application/octet-stream"
	text   = "text/plain; charset=utf-8"
)

func TestHTTP(t *testing.T) {
	own, standard := http.Handler(ownMux()), http.Handler(http.DefaultServeMux)
	for _, test := range []struct {
		mux         http.Handler
		method      string
		path        string
		status      int
		contentType string
		file        string // in Content-Disposition
		body        string // a part of it; "proto" for a valid profile; "" for no body
	}{
		// The handler, where users are told to put it.
		{standard, "GET", "/debug/pprof/cgoheap", 200, octets, "cgoheap", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?debug=0", 200, octets, "cgoheap", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?debug=1", 200, text, "", "heap profile: "},
		{standard, "GET", "/debug/pprof/cgoheap?debug=2", 200, text, "", "heap profile: "},
		{standard, "GET", "/debug/pprof/cgoheap?gc=1", 200, octets, "cgoheap", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?gc=0&debug=1", 200, text, "", "heap profile: "},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=1", 200, octets, "cgoheap-delta", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=1&debug=0", 200, octets, "cgoheap-delta", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=&debug=&gc=&other=x", 200, octets, "cgoheap", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?peak=1", 200, octets, "cgoheap", "proto"},
		{standard, "GET", "/debug/pprof/cgoheap?peak=1&debug=1&ages=0", 200, text, "", "heap profile: "},
		{standard, "GET", "/debug/pprof/cgoheap?ages=1&peak=0&max_age=1h", 200, octets, "cgoheap", "proto"},
		{standard, "GET", "/debug/pprof/", 200, "text/html; charset=utf-8", "", "<a href='cgoheap?debug=1'>cgoheap</a>"},
		{standard, "HEAD", "/debug/pprof/cgoheap", 200, octets, "cgoheap", ""},
		{standard, "HEAD", "/debug/pprof/cgoheap?seconds=3600", 200, octets, "cgoheap-delta", ""},
		{standard, "POST", "/debug/pprof/cgoheap", 405, text, "", "Method Not Allowed"},

		// Queries that make no sense.
		{standard, "GET", "/debug/pprof/cgoheap?seconds=-1", 400, text, "", `invalid value "-1" for "seconds" - must be a whole number from 1 to 3600`},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=0", 400, text, "", `invalid value "0" for "seconds"`},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=x", 400, text, "", `invalid value "x" for "seconds"`},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=0.5", 400, text, "", `invalid value "0.5" for "seconds"`},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=3601", 400, text, "", `invalid value "3601" for "seconds"`},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=99999999999999999999", 400, text, "", `for "seconds"`},
		{standard, "GET", "/debug/pprof/cgoheap?debug=9", 400, text, "", `invalid value "9" for "debug" - must be 0, 1 or 2`},
		{standard, "GET", "/debug/pprof/cgoheap?debug=-1", 400, text, "", `invalid value "-1" for "debug"`},
		{standard, "GET", "/debug/pprof/cgoheap?gc=x", 400, text, "", `invalid value "x" for "gc" - must be 0 or 1`},
		{standard, "GET", "/debug/pprof/cgoheap?seconds=1&debug=1", 400, text, "", "seconds and debug params are incompatible"},
		{standard, "HEAD", "/debug/pprof/cgoheap?debug=9", 400, text, "", ""},

		{standard, "GET", "/debug/pprof/cgoheap?peak=2", 400, text, "", `invalid value "2" for "peak" - must be 0 or 1`},
		{standard, "GET", "/debug/pprof/cgoheap?ages=x", 400, text, "", `invalid value "x" for "ages" - must be 0 or 1`},
		{standard, "GET", "/debug/pprof/cgoheap?peak=1&seconds=1", 400, text, "", "seconds and peak params are incompatible"},
		{standard, "GET", "/debug/pprof/cgoheap?peak=1&min_age=1s", 400, text, "", "the peak is over"},
		{standard, "GET", "/debug/pprof/cgoheap?peak=1&gc=1", 400, text, "", "the peak is over"},

		// Elsewhere, and with a pattern for all methods.
		{own, "GET", "/c/memory", 200, octets, "cgoheap", "proto"},
		{own, "GET", "/c/memory?debug=1", 200, text, "", "heap profile: "},
		{own, "HEAD", "/c/memory", 200, octets, "cgoheap", ""},
		{own, "POST", "/c/memory", 405, text, "", "method POST is not allowed - use GET or HEAD"},
		{own, "DELETE", "/c/memory", 405, text, "", "method DELETE is not allowed"},

		// The page of net/http/pprof, which has no handler of ours. It refuses seconds and ignores gc.
		{own, "GET", "/debug/pprof/cgoheap", 200, octets, "cgoheap", "proto"},
		{own, "GET", "/debug/pprof/cgoheap?debug=1", 200, text, "", "heap profile: "},
		{own, "GET", "/debug/pprof/cgoheap?gc=1", 200, octets, "cgoheap", "proto"},
		{own, "GET", "/debug/pprof/cgoheap?seconds=1", 400, text, "", "not supported"},
	} {
		name := test.method + " " + test.path
		server := httptest.NewServer(test.mux)
		request, err := http.NewRequest(test.method, server.URL+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		server.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}

		h := response.Header
		if response.StatusCode != test.status || h.Get("Content-Type") != test.contentType {
			t.Errorf("%s: status %d, type %q; want %d, %q\n%.200q",
				name, response.StatusCode, h.Get("Content-Type"), test.status, test.contentType, body)
			continue
		}
		disposition := ""
		if test.file != "" {
			disposition = fmt.Sprintf("attachment; filename=%q", test.file)
		}
		if got := h.Get("Content-Disposition"); got != disposition {
			t.Errorf("%s: Content-Disposition %q, want %q", name, got, disposition)
		}
		if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q", name, got)
		}
		ours := test.status >= 400 && !strings.Contains(test.body, "Not Allowed") // the mux's own answer is not
		if got := h.Get("X-Go-Pprof"); (got == "1") != ours {
			t.Errorf("%s: X-Go-Pprof %q", name, got)
		}
		if test.status == 405 && h.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow %q", name, h.Get("Allow"))
		}
		switch test.body {
		case "":
			if len(body) != 0 {
				t.Errorf("%s: a body of %d bytes, want none", name, len(body))
			}
		case "proto":
			delta := strings.HasSuffix(test.file, "-delta")
			if p := decode(t, body); (p.DurationNanos > 0) != delta {
				t.Errorf("%s: duration %d", name, p.DurationNanos)
			}
		default:
			if !strings.Contains(string(body), test.body) {
				t.Errorf("%s: body %.200q lacks %q", name, body, test.body)
			}
		}
	}
}

func TestPatternWithoutMethodPanicsBesideNetHTTPPprof(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic: the documentation may stop insisting on \"GET \"")
		}
	}()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", httppprof.Index)
	mux.Handle("/debug/pprof/cgoheap", cgoheap.Handler())
}

// get asks the handler without a server.
func get(ctx context.Context, query string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	cgoheap.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/?"+query, nil).WithContext(ctx))
	return w
}

func TestDeltaHoldsWhatChanged(t *testing.T) {
	old, kept := plain.Other(701), plain.Other(709)
	defer plain.Release(kept)
	var fresh plain.Block
	data, err := cgoheap.Delta(func() {
		plain.Release(old)
		fresh = plain.Other(719)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Release(fresh)
	got := decode(t, data).Sum(profiledata.Leaf("plain_other_block"))
	if want := (profiledata.Values{AllocObjects: 1, AllocSpace: 719, InuseSpace: 719 - 701}); got != want {
		t.Errorf("one block freed, one allocated: %+v, want %+v", got, want)
	}
}

func TestSecondsIsADelta(t *testing.T) {
	const before = 1000
	var blocks []plain.Block
	for range before {
		blocks = append(blocks, plain.Other(727))
	}
	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- get(t.Context(), "seconds=1") }()
	var w *httptest.ResponseRecorder
	for w == nil {
		select {
		case w = <-answer:
		case <-time.After(time.Millisecond):
			blocks = append(blocks, plain.Other(727))
		}
	}
	// Allocated and in use are not copied at the same instant, so they may differ by what was allocated in between.
	got := decode(t, w.Body.Bytes()).Sum(profiledata.Leaf("plain_other_block"))
	since := int64(len(blocks)) - before
	if got.AllocObjects < 1 || got.AllocObjects > since || got.InuseObjects < 1 || got.InuseObjects > since {
		t.Errorf("%d blocks before, %d since: %+v", before, len(blocks)-before, got)
	}
	for _, b := range blocks {
		plain.Release(b)
	}
}

func TestOnlySoManyWaitAtATime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan *httptest.ResponseRecorder)
	for range cgoheap.MaxProfiles {
		go func() { answers <- get(ctx, "seconds=3600") }()
	}
	for cgoheap.WaitingDeltas() < cgoheap.MaxProfiles {
		runtime.Gosched()
	}
	w := get(t.Context(), "seconds=5")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" || w.Header().Get("X-Go-Pprof") != "1" {
		t.Errorf("one too many: status %d, headers %v, %s", w.Code, w.Header(), w.Body)
	}
	if w := get(t.Context(), ""); w.Code != 200 {
		t.Errorf("a profile while others wait: status %d, %s", w.Code, w.Body)
	}

	// Those that wait go when their clients go.
	cancel()
	for range cgoheap.MaxProfiles {
		if w := <-answers; w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "context canceled") ||
			w.Header().Get("Content-Disposition") != "" {
			t.Errorf("canceled: status %d, headers %v, %s", w.Code, w.Header(), w.Body)
		}
	}
	if w := get(t.Context(), "seconds=1"); w.Code != 200 {
		t.Errorf("after all have gone: status %d, %s", w.Code, w.Body)
	}
}

func TestOnlySoManyAreMadeAtATime(t *testing.T) {
	release := cgoheap.HoldEncoders()
	w := get(t.Context(), "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("one too many: status %d, headers %v, %s", w.Code, w.Header(), w.Body)
	}
	// A request that has waited for its seconds waits for its turn; its deadline ends that.
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if w := get(ctx, "seconds=1"); w.Code != http.StatusRequestTimeout {
		t.Errorf("past its deadline: status %d, %s", w.Code, w.Body)
	}
	release()
	if w := get(t.Context(), ""); w.Code != 200 {
		t.Errorf("afterwards: status %d, %s", w.Code, w.Body)
	}
}

func TestCanceledRequestMakesNoProfile(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w := get(ctx, ""); w.Code != http.StatusInternalServerError {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

func TestWriteTimeoutOfTheServerLeavesRoomForSeconds(t *testing.T) {
	server := httptest.NewUnstartedServer(cgoheap.Handler())
	server.Config.WriteTimeout = 500 * time.Millisecond
	server.Start()
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/?seconds=1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("status %d, %v", response.StatusCode, err)
	}
	decode(t, body)
}

// holder owns C memory that its finalizer or cleanup frees.
type holder struct {
	next *holder
	_    [8]*int
}

//go:noinline
func dropHolders(n int) {
	for range n {
		// A finalizer keeps what it hangs on: the second object is found by the second collection only.
		inner, block := &holder{}, plain.Moved(1, 811)
		runtime.AddCleanup(inner, func(b plain.Block) { plain.Release(b) }, block)
		outer, block := &holder{next: inner}, plain.Moved(1, 821)
		runtime.SetFinalizer(outer, func(*holder) { plain.Release(block) })
	}
}

func TestGCRunsFinalizersAndCleanupsFirst(t *testing.T) {
	leaf := profiledata.Leaf("plain_moved")
	before := profile(t).Sum(leaf)
	done := make(chan struct{})
	go func() { defer close(done); dropHolders(500) }() // whose stack is gone then
	<-done
	w := get(t.Context(), "gc=1")
	got := decode(t, w.Body.Bytes()).Sum(leaf).Sub(before)
	if got.InuseObjects != 0 || got.InuseSpace != 0 || got.AllocObjects < 1000 {
		t.Errorf("after gc=1: %+v, want nothing in use", got)
	}
}
