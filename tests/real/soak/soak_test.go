// Package soak runs a server's load for long (a minute, or an hour with CGOHEAP_LONG=1) in two processes side by side: one has
// its profile and its page fetched every second, the other none.
package soak

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/tests/real/heap"
	"github.com/cgoheap/cgoheap/tests/real/stress"
)

// server is a process that runs the load.
type server struct {
	name    string
	process *os.Process
	url     string
	rss     []int64 // its resident bytes, each second while the load runs
	points  []quiet
}

func start(t *testing.T, name, plugin string) *server {
	t.Helper()
	command := exec.Command(os.Args[0])
	// One arena, or it's luck which thread frees what in which of them, and with it how much memory glibc keeps.
	command.Env = append(os.Environ(), pluginVariable+"="+plugin, "CGOHEAP=", "MALLOC_ARENA_MAX=1")
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close() // which ends it
		if err := command.Wait(); err != nil {
			t.Errorf("server %s: %v", name, err)
		}
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("server %s: %v", name, err)
	}
	return &server{name: name, process: command.Process, url: "http://" + strings.TrimSpace(address)}
}

var client = http.Client{Timeout: 2 * time.Minute}

func (s *server) answer(t *testing.T, method, path string) []byte {
	t.Helper()
	request, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("server %s: %v", s.name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("server %s: %s %s: %v %v\n%.300s", s.name, method, path, response.Status, err, body)
	}
	return body
}

// resident is the server's resident memory in bytes.
func (s *server) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// quiet ends the server's load and checks what it says then.
func (s *server) quiet(t *testing.T) quiet {
	t.Helper()
	var q quiet
	if err := json.Unmarshal(s.answer(t, "POST", "/quiet"), &q); err != nil {
		t.Fatal(err)
	}
	s.points = append(s.points, q)
	t.Logf("%s: %d units, %d MB resident, %d stacks, %d kB of cgoheap's own, %d threads; the table's %d blocks, %d bytes; live then %d, %d",
		s.name, q.Units, s.resident(t)/1e6, q.Stacks, q.OwnBytes/1e3, q.Threads, q.Objects, q.Bytes, q.LiveObjects, q.LiveBytes)
	if q.Failure != "" || q.Bad != 0 || q.Interpose != cgoheap.InterposeWhole.String() || q.GoFramesProblem != "" {
		t.Fatalf("server %s: %+v", s.name, q)
	}
	if q.Objects < 1000 {
		t.Errorf("server %s: %d blocks in the table: that was no load", s.name, q.Objects)
	}
	// On a starved machine a sample can be lost because its shard's holder was stopped: that is counted, and bounds the error.
	if off := q.FreedObjects - q.Objects; max(off, -off) > q.Lost || q.Lost == 0 && q.FreedBytes != q.Bytes {
		t.Errorf("server %s: %d blocks, %d bytes were in the table and freed; live memory shrank by %d, %d", s.name, q.Objects, q.Bytes,
			q.FreedObjects, q.FreedBytes)
	}
	return q
}

// checkFlat fails the test if memory grew from quiet point to quiet point.
func (s *server) checkFlat(t *testing.T) {
	t.Helper()
	// What libc and the libraries keep for good is there at the second quiet point at the latest, but for libc's vector of
	// thread-local storage of each thread that Go has started since: all of one size.
	second, last := s.points[1], s.points[len(s.points)-1]
	threads := int64(last.Threads - second.Threads)
	bytes, vector := last.LiveBytes-second.LiveBytes, int64(0)
	if threads > 0 {
		vector = min(bytes/threads, 1024)
	}
	if last.Lost == 0 && (last.LiveObjects-second.LiveObjects != threads || bytes != threads*vector) {
		t.Errorf("server %s: %d objects, %d bytes were live at the second quiet point, %d, %d at the last, after %d new threads", s.name,
			second.LiveObjects, second.LiveBytes, last.LiveObjects, last.LiveBytes, threads)
	}
	own := func(points []quiet) (most int64) {
		for _, q := range points {
			most = max(most, q.OwnBytes)
		}
		return most
	}
	half := len(s.points) / 2
	first, rest := own(s.points[:half]), own(s.points[half:])
	if rest > first+first/20 {
		t.Errorf("server %s: cgoheap had at most %d bytes of its own in the first half of the time, %d in the second", s.name, first, rest)
	}
}

// mean is the mean of the second half.
func mean(values []int64) (sum int64) {
	values = values[len(values)/2:]
	for _, v := range values {
		sum += v
	}
	return sum / int64(len(values))
}

func TestFetchingEachSecondCostsNoMemory(t *testing.T) {
	// A minute is short for libc's heap to settle: two servers without fetches differ by some percent then.
	length, period, percent := time.Minute, 10*time.Second, int64(10)
	if os.Getenv("CGOHEAP_LONG") != "" {
		length, period, percent = time.Hour, time.Minute, 5
	}
	if text := os.Getenv("CGOHEAP_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("CGOHEAP_SOAK=%s: %v; it is how long the soak takes, such as 40m", text, err)
		}
	}
	folder := t.TempDir()
	plugin, source := filepath.Join(folder, "plugin.so"), filepath.Join(folder, "plugin.c")
	if err := os.WriteFile(source, []byte(stress.Plugin), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O1", "-shared", "-fPIC", "-o", plugin, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	fetched, alone := start(t, "fetched", plugin), start(t, "alone", plugin)
	servers := []*server{fetched, alone}
	fetches := 0
	for began := time.Now(); time.Since(began) < length; {
		for _, s := range servers {
			s.answer(t, "POST", "/load")
		}
		second := time.NewTicker(time.Second)
		for loaded := time.Now(); time.Since(loaded) < period; fetches++ {
			heap.Parse(t, fetched.answer(t, "GET", "/debug/pprof/cgoheap"))
			if page := fetched.answer(t, "GET", "/debug/cgoheap/"); !strings.Contains(string(page), "stress_churn") {
				t.Error("the page doesn't name stress_churn")
			}
			<-second.C
			for _, s := range servers {
				s.rss = append(s.rss, s.resident(t))
			}
		}
		second.Stop()
		for _, s := range servers {
			s.quiet(t)
		}
		// The profile itself agrees that nothing of the load is left.
		if fetched.points[len(fetched.points)-1].Lost == 0 {
			heap.Parse(t, fetched.answer(t, "GET", "/debug/pprof/cgoheap")).Expect(t, 0, 0, "stress_churn")
		}
	}
	if len(fetched.points) < 4 {
		t.Fatalf("%d quiet points: a soak takes at least four times %v", len(fetched.points), period)
	}
	for _, s := range servers {
		s.checkFlat(t)
	}
	with, without := mean(fetched.rss), mean(alone.rss)
	t.Logf("%d fetches of profile and page: %d bytes resident with, %d without: %+.1f %%", fetches, with, without,
		100*(float64(with)/float64(without)-1))
	if with > without+without*percent/100 {
		t.Errorf("%d bytes were resident with profile and page fetched each second, %d without: more than %d %% above", with, without, percent)
	}
}
