package serving

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestGateLetsSomeWorkAndSomeWait(t *testing.T) {
	g := NewGate(1, 1, time.Hour)
	leave, err := g.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan func())
	go func() {
		leave, err := g.Enter(t.Context())
		if err != nil {
			t.Error(err)
		}
		second <- leave
	}()
	for len(g.here) < 2 {
		time.Sleep(time.Millisecond)
	}
	w := httptest.NewRecorder()
	if Enter(w, httptest.NewRequest("GET", "/", nil), g) != nil || w.Code != 503 || w.Header().Get("Retry-After") != "1" ||
		!strings.Contains(w.Body.String(), "at most 1 of this kind are worked on, and at most 1 wait") {
		t.Errorf("one too many: %d %v %s", w.Code, w.Header(), w.Body)
	}
	leave()
	leave() // as a deferred call does
	third := <-second
	third()
	if len(g.here) != 0 || len(g.working) != 0 {
		t.Errorf("%d are here, %d work", len(g.here), len(g.working))
	}
}

func TestGateIsLeftByWhoeverGivesUp(t *testing.T) {
	g := NewGate(1, 1, time.Hour)
	leave, _ := g.Enter(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Enter(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	g.patience = 0
	if _, err := g.Enter(t.Context()); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	leave()
	if len(g.here) != 0 {
		t.Errorf("%d are here", len(g.here))
	}
}

func TestRequestsFromOtherSites(t *testing.T) {
	for _, test := range []struct {
		headers      string
		reads, holds bool // refused
	}{
		{"", false, false}, // curl, go tool pprof, scrapers
		{"Sec-Fetch-Site: same-origin", false, false},
		{"Sec-Fetch-Site: none", false, false},
		{"Sec-Fetch-Site: cross-site", true, true},
		{"Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: no-cors\nSec-Fetch-Dest: image", true, true},
		{"Sec-Fetch-Site: same-site\nSec-Fetch-Mode: cors\nSec-Fetch-Dest: empty", true, true},
		{"Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe", true, true},
		{"Sec-Fetch-Site: cross-site\nSec-Fetch-Mode: navigate\nSec-Fetch-Dest: document", false, true}, // a link in a chat
		{"Sec-Fetch-Site: strange", true, true},
		// Over plain http browsers send none of those.
		{"Origin: http://evil.example", true, true},
		{"Origin: null", true, true},
		{"Origin: http://shop.example:6060", false, false},
		{"Referer: http://evil.example/page", false, true},
		{"Referer: http://shop.example:6060/debug/cgoheap/", false, false},
		{"Referer: http://ops.example/x\nX-Forwarded-Host: ops.example, shop.example", false, false},
		{"Referer: %%%", false, true},
	} {
		for _, holds := range []bool{false, true} {
			r := httptest.NewRequest("GET", "http://shop.example:6060/x", nil)
			for line := range strings.Lines(test.headers) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			want := test.reads
			if holds {
				want = test.holds
			}
			if got := Refuse(w, r, holds); got != want || got && w.Code != 403 {
				t.Errorf("%q, holds %v: refused %v with %d, want %v", test.headers, holds, got, w.Code, want)
			}
		}
	}
}

func TestQueryIsReadOrRefused(t *testing.T) {
	for query, ok := range map[string]bool{"": true, "a=1&b=2": true, "b=2&b=3": true, "a=1&a=1": false, "a=%zz": false, "a=1;b=2": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		if got := Query(w, r, "a") != nil; got != ok || !ok && w.Code != 400 {
			t.Errorf("%q: %v, status %d", query, got, w.Code)
		}
	}
}

// deaf asks and reads nothing.
func deaf(t *testing.T, address string) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048) })
	}}
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	return c
}

// large serves 64 MiB, more than the kernel takes for a reader that doesn't read. It tells who comes and who is done.
func large(t *testing.T) (server *httptest.Server, came, done chan string) {
	came, done = make(chan string, 100), make(chan string, 100)
	data := make([]byte, 64<<20)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came <- r.RemoteAddr
		Send(w, r, time.Now(), data)
		done <- r.RemoteAddr
	}))
	t.Cleanup(server.Close)
	return server, came, done
}

func set[T any](t *testing.T, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

func TestSlowReaderIsCutOff(t *testing.T) {
	set(t, &pieceTimeout, 100*time.Millisecond)
	server, _, done := large(t)
	deaf(t, server.Listener.Addr().String())
	<-done // or the test never ends
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n != 64<<20 {
		t.Errorf("a reader that reads got %d bytes: %v", n, err)
	}
}

func TestOldestSlowReaderIsCutOffForOneMore(t *testing.T) {
	set(t, &pieceTimeout, time.Hour)
	set(t, &sendingAge, 0)
	server, came, done := large(t)
	var first string
	for i := range maxSending + 1 {
		c := deaf(t, server.Listener.Addr().String())
		<-came
		// In this order: until it sends.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			answers.Lock()
			n := len(answers.all)
			answers.Unlock()
			if n == min(i+1, maxSending) || time.Now().After(deadline) {
				break
			}
		}
		if i == 0 {
			first = c.LocalAddr().String()
		}
	}
	if got := <-done; got != first {
		t.Errorf("%s was cut off, the oldest is %s", got, first)
	}
	answers.Lock()
	for _, s := range answers.all {
		s.cutOff()
	}
	answers.Unlock()
}

// A deadline belongs to an answer, not to what is asked by the same connection later.
func TestDeadlineEndsWithItsAnswer(t *testing.T) {
	set(t, &pieceTimeout, 200*time.Millisecond)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/later" {
			io.WriteString(w, "later")
			return
		}
		Send(w, r, time.Now(), []byte("now"))
	}))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for _, path := range []string{"/", "/later"} {
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if _, err := io.ReadAll(answer.Body); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

func TestWriteTimeoutOfTheServerHolds(t *testing.T) {
	set(t, &pieceTimeout, time.Hour)
	done := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Send(w, r, time.Now(), make([]byte, 64<<20))
		close(done)
	}))
	server.Config.WriteTimeout = 200 * time.Millisecond
	server.Start()
	defer server.Close()
	deaf(t, server.Listener.Addr().String())
	<-done // or the test never ends
}
