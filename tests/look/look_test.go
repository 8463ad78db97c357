// Package look_test tests package look with real programs, one process for each disease.
package look_test

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// build makes the program once.
var build = sync.OnceValues(func() (string, error) { return buildProgram("./sick") })

func buildProgram(source string) (string, error) {
	folder, err := os.MkdirTemp("", "look")
	if err != nil {
		return "", err
	}
	program := filepath.Join(folder, filepath.Base(source))
	output, err := exec.Command("go", "build", "-o", program, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%v\n%s", err, output)
	}
	return program, nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if program, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(program))
	}
	os.Exit(code)
}

// start runs the program with a disease until the test ends, and returns its address.
func start(t *testing.T, disease string) (url string) {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, program, disease)
}

// serve runs a program until the test ends, and returns the address that it prints.
func serve(t *testing.T, program string, args ...string) (url string) {
	t.Helper()
	command := exec.Command(program, args...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
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
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s %s did not start: %v", program, args, err)
	}
	return strings.TrimSpace(line)
}

// page is what the page says.
type page struct {
	text                string
	kind, sure, verdict string
	parts               map[string]int64
}

var (
	kindPattern = regexp.MustCompile(`data-kind="([^"]+)" data-sure="([^"]+)"`)
	sayPattern  = regexp.MustCompile(`(?s)id="sentence">(.*?)</p>`)
	partPattern = regexp.MustCompile(`data-part="(\w+)" data-bytes="(\d+)"`)
)

func get(t *testing.T, url string) []byte {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s: %s %v %.200s", url, answer.Status, err, data)
	}
	return data
}

func look(t *testing.T, url string) page {
	t.Helper()
	p := page{text: string(get(t, url+"/debug/cgoheap/")), parts: map[string]int64{}}
	kind, say := kindPattern.FindStringSubmatch(p.text), sayPattern.FindStringSubmatch(p.text)
	if kind == nil || say == nil {
		t.Fatalf("no verdict: %.500s", p.text)
	}
	p.kind, p.sure, p.verdict = kind[1], kind[2], html.UnescapeString(say[1])
	for _, m := range partPattern.FindAllStringSubmatch(p.text, -1) {
		p.parts[m[1]], _ = strconv.ParseInt(m[2], 10, 64)
	}
	return p
}

// checkSum fails the test unless the parts add up to RSS and what is unexplained is small.
func checkSum(t *testing.T, p page) {
	t.Helper()
	var sum int64
	for name, bytes := range p.parts {
		if name != "rss" {
			sum += bytes
		}
	}
	rss := p.parts["rss"]
	if len(p.parts) < 10 || sum != rss {
		t.Errorf("the parts add up to %d, RSS is %d: %v", sum, rss, p.parts)
	}
	if limit := rss * 3 / 100; p.parts["unexplained"] > limit {
		t.Errorf("%d of %d are unexplained, at most %d should be: %v", p.parts["unexplained"], rss, limit, p.parts)
	}
}

// until looks until the verdict is kind. Before, only what says nothing may be said, and what else is allowed.
func until(t *testing.T, url, kind string, allowed ...string) page {
	t.Helper()
	allowed = append(allowed, "not-enough-history", "nothing-unusual")
	var p page
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		p = look(t, url)
		checkSum(t, p)
		if p.kind == kind {
			t.Log(p.verdict)
			return p
		}
		if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+p.kind+" ") {
			t.Fatalf("%s instead of %s: %s", p.kind, kind, p.verdict)
		}
	}
	t.Fatalf("never %s, at last: %s", kind, p.verdict)
	return p
}

// stays looks some times more: the verdict must not become another. On a machine that is busy elsewhere a program may stand
// still for a second, and then nothing is growing for once.
func stays(t *testing.T, url, kind string) (last page) {
	t.Helper()
	still := 0
	for range 10 {
		time.Sleep(300 * time.Millisecond)
		p := look(t, url)
		checkSum(t, p)
		switch p.kind {
		case kind:
			last = p
		case "nothing-unusual":
			still++
		default:
			t.Fatalf("%s has become %s: %s", kind, p.kind, p.verdict)
		}
	}
	if still > 4 {
		t.Fatalf("%s was seen in %d of 10 looks only", kind, 10-still)
	}
	return last
}

func press(t *testing.T, url, button string) {
	t.Helper()
	answer, err := http.Post(url+"/debug/cgoheap/"+button, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	// The client has gone back to the page.
	if answer.StatusCode != 200 || answer.Request.Method != "GET" || answer.Request.URL.Path != "/debug/cgoheap/" {
		t.Fatalf("%s: %s %s %s", button, answer.Status, answer.Request.Method, answer.Request.URL)
	}
}

func expect(t *testing.T, p page, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(p.verdict, word) {
			t.Errorf("the verdict doesn't say %q: %s", word, p.verdict)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for disease, kind := range map[string]string{
		"go-heap": "go-heap", "goroutines": "go-stacks", "mmap": "mapped", "file": "mapped", "fragmentation": "retention",
	} {
		t.Run(disease, func(t *testing.T) {
			t.Parallel() // they mostly wait
			url := start(t, disease)
			until(t, url, kind)
			stays(t, url, kind)
		})
	}
}

func TestLeakIsNamedByLineAndCaller(t *testing.T) {
	t.Parallel()
	url := start(t, "zstd")
	// Until garbage was collected twice the rules can't tell a leak from finalizers.
	until(t, url, "c-leak", "finalizers")
	p := stays(t, url, "c-leak")
	expect(t, p, "zstd", "ZSTD_", "main.compress main.go:")
	if !strings.Contains(p.text, "main.compress main.go:") {
		t.Error("the stacks of the page don't show main.compress")
	}
}

// A finalizer that never returns holds up the others, and with them the C memory that they free.
func TestBlockedFinalizersAreNoLeakOfC(t *testing.T) {
	t.Parallel()
	url := start(t, "blocked")
	p := until(t, url, "finalizers", "c-leak", "go-heap")
	for deadline := time.Now().Add(90 * time.Second); !strings.Contains(p.verdict, "are blocked") && time.Now().Before(deadline); time.Sleep(time.Second) {
		p = look(t, url)
	}
	expect(t, p, "Go's finalizers are blocked", "cmem.Fill")
	if goroutines := string(get(t, url+"/debug/pprof/goroutine?debug=2")); !strings.Contains(p.text, "runtime.runFinalizers") || !strings.Contains(goroutines, "runtime.runFinalizers") {
		t.Errorf("the page's next step leads nowhere: %s", goroutines)
	}
}

func TestFinalizersThenRetentionThenNothing(t *testing.T) {
	t.Parallel()
	url := start(t, "tree-sitter")
	time.Sleep(2 * time.Second) // unseen: looks make garbage too, and enough of it makes Go collect
	p := until(t, url, "finalizers")
	expect(t, p, "finalizers")
	time.Sleep(2 * time.Second) // until it has parsed all
	press(t, url, "gc")
	p = until(t, url, "retention", "finalizers")
	if p.parts["c_live"] > 8<<20 || p.parts["c_free"] < 24<<20 {
		t.Errorf("after gc: %v", p.parts)
	}
	press(t, url, "trim")
	p = look(t, url)
	if p.kind == "retention" || p.parts["c_free"] > 24<<20 {
		t.Errorf("after trim: %s %v", p.verdict, p.parts)
	}
	checkSum(t, p)
}

func TestHealthyProgram(t *testing.T) {
	t.Parallel()
	url := start(t, "healthy")
	until(t, url, "nothing-unusual")
	stays(t, url, "nothing-unusual")
}

// While threads allocate, map and come and go, every measurement adds up, and no part has what isn't its own: what is mapped
// past malloc is bounded, and a thread's stack holds 100 kB.
func TestEveryMeasurementAddsUpUnderChurn(t *testing.T) {
	t.Parallel()
	url := start(t, "churn")
	time.Sleep(time.Second)
	for range 100 {
		p := look(t, url)
		checkSum(t, p)
		if p.parts["mapped"] > 8*2<<20+4<<20 {
			t.Errorf("8 threads map 2 MiB each, and %d are mapped: %v", p.parts["mapped"], p.parts)
		}
		if p.parts["thread_stacks"] > 64<<20 {
			t.Errorf("%d of stacks: %v", p.parts["thread_stacks"], p.parts)
		}
		if p.kind != "not-enough-history" && p.kind != "nothing-unusual" && strings.Contains(p.text, `data-sure="certain"`) {
			t.Errorf("%s, certain: %s", p.kind, p.verdict)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestButtonsTakePostFromThePageOnly(t *testing.T) {
	url := start(t, "healthy")
	for _, test := range []struct {
		method, site string
		want         int
	}{{"GET", "same-origin", 405}, {"POST", "cross-site", 403}, {"POST", "same-site", 403}, {"POST", "same-origin", 303}, {"POST", "", 303}} {
		request, _ := http.NewRequest(test.method, url+"/debug/cgoheap/gc", nil)
		if test.site != "" {
			request.Header.Set("Sec-Fetch-Site", test.site)
		}
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != test.want {
			t.Errorf("%s from %q: %s, want %d", test.method, test.site, answer.Status, test.want)
		}
	}
}
