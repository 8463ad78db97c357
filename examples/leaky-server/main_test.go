//go:build linux && (amd64 || arm64) && cgo

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The tests run the program that `go build` makes, and not its handlers in this process: `go test` strips its own binary,
// and then only the innermost C frame has a name.
var program []string // with the arguments that come before the server's own

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// A server that was built before, as tests/build does for other platforms: "qemu-aarch64-static leaky-server".
		if program = strings.Fields(os.Getenv("LEAKY_SERVER")); len(program) > 0 {
			return m.Run()
		}
		folder, err := os.MkdirTemp("", "leaky-server")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(folder)
		binary := filepath.Join(folder, "leaky-server")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		program = []string{binary}
		return m.Run()
	}())
}

// server is a running leaky-server.
type server struct {
	t   *testing.T
	url string
}

// start runs the server until the test ends; settings are those of the environment variable CGOHEAP.
func start(t *testing.T, settings string) *server {
	t.Helper()
	command := exec.Command(program[0], append(slices.Clone(program[1:]), "-addr", "127.0.0.1:0")...)
	command.Env = append(os.Environ(), "CGOHEAP="+settings)
	command.Stderr = os.Stderr
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("the server's first line is %q: %v", line, err)
	}
	return &server{t, url}
}

// fetch returns the status and the body of a page.
func (s *server) fetch(path string) (int, string) {
	s.t.Helper()
	response, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// get returns the body of a page that must be there.
func (s *server) get(path string) string {
	s.t.Helper()
	status, body := s.fetch(path)
	if status != http.StatusOK {
		s.t.Fatalf("GET %s: %d\n%s", path, status, body)
	}
	return body
}

// profile takes a profile.
func (s *server) profile(path string) *profile {
	s.t.Helper()
	return readProfile(s.t, s.get(path))
}

// lineOf finds the one line of a file that contains text.
func lineOf(t *testing.T, file, text string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := strings.Cut(string(source), text)
	if !found || strings.Contains(after, text) {
		t.Fatalf("%s does not contain %q exactly once", file, text)
	}
	return fmt.Sprintf("%s:%d", file, strings.Count(before, "\n")+1)
}

// leak is one of the server's leaks and how it must look: its stack from the leaf, as far as the code is this program's.
type leak struct {
	path          string
	blocks, bytes int64 // in one call
	stack         []string
	threadOfC     bool // the stack ends in C
}

func leaks(t *testing.T) []leak {
	return []leak{
		{
			path: "/cstring", blocks: 1, bytes: 10007,
			stack: []string{
				"C.CString " + lineOf(t, "leaks.go", "C.CString(query)"),
				"main.leakCString " + lineOf(t, "leaks.go", "C.CString(query)"),
			},
		},
		{
			path: "/library", blocks: 101, bytes: 101 * 2003,
			stack: []string{
				"node_new " + lineOf(t, "catalog.c", "malloc(CATALOG_NODE_BYTES)"),
				"index_build " + lineOf(t, "catalog.c", "= node_new("),
				"catalog_open " + lineOf(t, "catalog.c", "= index_build("),
				"C.catalog_open " + lineOf(t, "leaks.go", "C.catalog_open() // of the library"),
				"main.leakInLibrary " + lineOf(t, "leaks.go", "C.catalog_open() // of the library"),
			},
		},
		{
			path: "/thread", blocks: 1, bytes: 65537, threadOfC: true,
			stack: []string{
				"prices_fetch " + lineOf(t, "prices.c", "malloc(PRICES_LIST_BYTES)"),
				"prices_thread " + lineOf(t, "prices.c", "= prices_fetch("),
			},
		},
	}
}

// is matches the leak's stacks.
func (l *leak) is(stack []string) bool {
	if len(stack) <= len(l.stack) || !slices.Equal(stack[:len(l.stack)], l.stack) {
		return false
	}
	// A request's stack goes on to the connection's goroutine; nothing of Go is on a C thread's stack.
	isGo := func(frame string) bool { return strings.HasPrefix(frame, "net/http.(*conn).serve ") }
	return slices.ContainsFunc(stack, isGo) != l.threadOfC
}

func everything([]string) bool { return true }

const cgoheapPage = "/debug/pprof/cgoheap"

func TestInUseBytesOfEachLeakAreExact(t *testing.T) {
	s := start(t, "rate=1")
	const times = 7
	for _, l := range leaks(t) {
		before := s.profile(cgoheapPage)
		answer := s.get(l.path + "?times=7")
		after := s.profile(cgoheapPage)

		if want := fmt.Sprintf("leaked %d bytes in %d calls", l.bytes*times, times); !strings.Contains(answer, want) {
			t.Errorf("%s: the server says %q, want %q", l.path, answer, want)
		}
		got := after.sum(l.is).sub(before.sum(l.is))
		if got.inUseBytes != l.bytes*times || got.inUseBlocks != l.blocks*times {
			t.Errorf("%s: by the leak's stack %d bytes in %d blocks more are in use, want %d in %d\n%s",
				l.path, got.inUseBytes, got.inUseBlocks, l.bytes*times, l.blocks*times, dump(after))
		}
		all := after.sum(everything).sub(before.sum(everything))
		if all.inUseBytes != got.inUseBytes || all.inUseBlocks != got.inUseBlocks {
			t.Errorf("%s: in all %d bytes in %d blocks more are in use, by the leak's stack %d in %d\n%s",
				l.path, all.inUseBytes, all.inUseBlocks, got.inUseBytes, got.inUseBlocks, dump(after))
		}
	}
}

func TestWithoutTheLeaksInUseIsWhatItWas(t *testing.T) {
	s := start(t, "rate=1")
	for _, l := range leaks(t) {
		s.get(l.path + "?times=3") // so that there is something that must not change
	}
	before := s.profile(cgoheapPage)

	const clients, times = 8, 25
	var wait sync.WaitGroup
	failures := make(chan error, 4*clients)
	for range clients {
		for _, path := range []string{"/cstring", "/library", "/thread", "/proper"} {
			wait.Go(func() { // not with get, whose Fatal belongs to the test's own goroutine
				response, err := http.Get(fmt.Sprintf("%s%s?free=1&times=%d", s.url, path, times))
				if err != nil {
					failures <- err
					return
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if err != nil || !strings.Contains(string(body), "leaked 0 bytes in 25 calls") {
					failures <- fmt.Errorf("%s: %q, %v", path, body, err)
				}
			})
		}
	}
	wait.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}

	after := s.profile(cgoheapPage)
	was, is := inUse(before), inUse(after)
	for stack := range was {
		if is[stack] != was[stack] {
			t.Errorf("in use were %v, now %v\n%s", was[stack], is[stack], stack)
		}
	}
	for stack := range is {
		if _, known := was[stack]; !known {
			t.Errorf("new in use: %v\n%s", is[stack], stack)
		}
	}
	// The profile must have seen it all come and go: each of the 8 clients' 25 calls, once by itself and once below /proper.
	for _, l := range leaks(t) {
		leaf := func(stack []string) bool { return len(stack) > 0 && stack[0] == l.stack[0] }
		got := after.sum(leaf).sub(before.sum(leaf)).allocBytes
		want := 2 * clients * times * l.bytes
		if l.path == "/library" { // leakCString opens a catalog too
			want *= 2
		}
		if got != want {
			t.Errorf("%s: %d bytes were allocated, want %d", l.path, got, want)
		}
	}
}

func TestDefaultIntervalShowsTheLeaksToo(t *testing.T) {
	s := start(t, "")
	want := map[string]int64{}
	for _, l := range leaks(t) {
		times := 128<<20/l.bytes + 1
		s.get(fmt.Sprintf("%s?times=%d", l.path, times))
		want[l.path] = times * l.bytes
	}
	p := s.profile(cgoheapPage)
	if !strings.Contains(p.header, "\nPeriod: 524288\n") {
		t.Errorf("the sampling interval is not 512 KiB:\n%s", p.header)
	}
	for _, l := range leaks(t) {
		// 128 MiB are about 256 samples: a standard deviation of one sixteenth. A fair sampler misses by 0.4, more than six
		// of them, less than once in a hundred million runs.
		got, truth := float64(p.sum(l.is).inUseBytes), float64(want[l.path])
		if got < 0.6*truth || got > 1.4*truth {
			t.Errorf("%s: %.0f bytes in use, in truth %.0f\n%s", l.path, got, truth, dump(p))
		}
	}
}

func TestGosHeapProfileDoesNotShowTheLeaks(t *testing.T) {
	t.Setenv("GODEBUG", "memprofilerate=1") // at one sample in 512 KiB a server as small as this may have none
	s := start(t, "rate=1")
	const leaked = 64 << 20
	for _, l := range leaks(t) {
		s.get(fmt.Sprintf("%s?times=%d", l.path, leaked/l.bytes))
	}
	heap := s.profile("/debug/pprof/heap?gc=1")
	if got := heap.sum(everything).inUseBytes; got == 0 || got > leaked/4 {
		t.Errorf("Go's heap profile has %d bytes, want a little", got)
	}
	if got := s.profile(cgoheapPage).sum(everything).inUseBytes; got < 2*leaked {
		t.Errorf("cgoheap has only %d bytes: there were no leaks to miss", got)
	}
}

func TestIndexPageListsTheProfileWithItsCount(t *testing.T) {
	s := start(t, "rate=1")
	s.get("/library?times=3")
	page := s.get("/debug/pprof/")
	entry := regexp.MustCompile(`<td>(\d+)</td><td><a href='cgoheap\?debug=1'>cgoheap</a>`).FindStringSubmatch(page)
	if entry == nil {
		t.Fatalf("cgoheap is not on the page:\n%s", page)
	}
	if count, _ := strconv.Atoi(entry[1]); count != 3*101 {
		t.Errorf("the count is %s, want %d", entry[1], 3*101)
	}
}

func TestHandlerStandsInFrontOfNetHTTPPprof(t *testing.T) {
	s := start(t, "rate=1")
	for _, test := range []struct {
		path   string
		status int
		text   string
	}{
		{cgoheapPage + "?seconds=x", http.StatusBadRequest, "whole number"},         // ours says which numbers
		{cgoheapPage + "?debug=1&gc=1", http.StatusOK, "heap profile: "},            // net/http/pprof would ignore gc
		{"/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile: "},    // its own are where they were
		{"/library?times=0", http.StatusBadRequest, "times: must be a number from"}, // the server's own errors
		{"/", http.StatusOK, "/debug/pprof/cgoheap"},
		{"/nothing", http.StatusNotFound, "not found"},
	} {
		if status, body := s.fetch(test.path); status != test.status || !strings.Contains(body, test.text) {
			t.Errorf("GET %s: %d %.200q, want %d with %q", test.path, status, body, test.status, test.text)
		}
	}
	if p := s.profile(cgoheapPage + "?seconds=1"); !strings.Contains(p.header, "\nDuration: 1") {
		t.Errorf("seconds=1 has no duration of one second:\n%s", p.header)
	}
}

// inUse maps each stack with memory in use to its values.
func inUse(p *profile) map[string]values {
	sums := map[string]values{}
	for _, s := range p.samples {
		if s.values.inUseBlocks != 0 || s.values.inUseBytes != 0 {
			key := "\t" + strings.Join(s.stack, "\n\t")
			sums[key] = values{
				inUseBlocks: sums[key].inUseBlocks + s.values.inUseBlocks,
				inUseBytes:  sums[key].inUseBytes + s.values.inUseBytes,
			}
		}
	}
	return sums
}

// dump shows what is in use.
func dump(p *profile) string {
	var text strings.Builder
	for stack, v := range inUse(p) {
		fmt.Fprintf(&text, "%d bytes in %d blocks\n%s\n", v.inUseBytes, v.inUseBlocks, stack)
	}
	return text.String()
}
