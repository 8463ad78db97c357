package look_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

func fetch(t *testing.T, url string) *profile.Profile {
	t.Helper()
	p, err := profile.ParseData(get(t, url))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return p
}

func names(s *profile.Sample) (names []string) {
	for _, l := range s.Location {
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

func sums(p *profile.Profile) (sums [4]int64) {
	for _, s := range p.Sample {
		for i, v := range s.Value {
			sums[i] += v
		}
	}
	return sums
}

// Pyroscope's limits: samples, depth, length of names, and no negative value.
func checkForPyroscope(t *testing.T, data []byte, p *profile.Profile) {
	t.Helper()
	if len(data) > 4<<20 || len(p.Sample) > 16000 {
		t.Errorf("%d bytes, %d samples", len(data), len(p.Sample))
	}
	for _, s := range p.Sample {
		if len(s.Location) > 1000 || len(s.Location) == 0 {
			t.Errorf("a stack of %d", len(s.Location))
		}
		zero := true
		for _, v := range s.Value {
			zero = zero && v == 0
			if v < 0 {
				t.Errorf("%v of %v", s.Value, names(s))
			}
		}
		if zero {
			t.Errorf("nothing from %v", names(s))
		}
	}
	for _, f := range p.Function {
		if len(f.Name) > 65535 {
			t.Errorf("a name of %d bytes", len(f.Name))
		}
	}
}

func TestDeltasOfTwoScrapersDontTakeFromEachOther(t *testing.T) {
	t.Parallel()
	url := start(t, "zstd") + "/debug/pprof/delta_cgoheap"
	time.Sleep(time.Second)
	var told [2]int64
	for range 3 {
		for i, id := range []string{"?id=one", "?id=two"} {
			data := get(t, url+id)
			p, err := profile.ParseData(data)
			if err != nil || p.CheckValid() != nil {
				t.Fatalf("%v", err)
			}
			checkForPyroscope(t, data, p)
			told[i] += sums(p)[1]
		}
		time.Sleep(300 * time.Millisecond)
	}
	// All that was ever allocated, told in pieces: what a new consumer is told at once.
	all := sums(fetch(t, url+"?id=three"))
	for i := range told {
		if told[i] <= 0 || told[i] > all[1] || told[i] < all[1]/4 {
			t.Errorf("consumer %d was told of %d in all, %d were allocated", i, told[i], all[1])
		}
	}
	if again := sums(fetch(t, url+"?id=three")); again[1] >= all[1]/2 || again[3] < all[3] {
		t.Errorf("the second time: %v after %v", again, all)
	}
	few := fetch(t, url+"?id=few&max=2")
	if len(few.Sample) != 2 || !slices.Equal(names(few.Sample[1]), []string{"[other]"}) && !slices.Equal(names(few.Sample[0]), []string{"[other]"}) {
		t.Errorf("at most 2: %v", few)
	}
	if got := sums(few); got[1] < all[1] {
		t.Errorf("a limit has lost something: %v, %v before", got, all)
	}
	for _, id := range []string{"4", "5", "6", "7"} {
		get(t, url+"?id="+id)
	}
	// The ninth takes the place of the oldest, who isn't told everything again when it comes back.
	if nine := sums(fetch(t, url+"?id=nine")); nine[1] < all[1] {
		t.Errorf("the ninth consumer: %v, %v before", nine, all)
	}
	if back := sums(fetch(t, url+"?id=one")); back[1] != 0 || back[3] == 0 {
		t.Errorf("the first, which had to go, is told %v when it comes back", back)
	}
}

func TestAllHeapShowsGoAndCBelowTheSameGoFunction(t *testing.T) {
	t.Parallel()
	url := start(t, "go-heap")
	time.Sleep(2 * time.Second)
	p := fetch(t, url+"/debug/pprof/allheap")
	heap := fetch(t, url+"/debug/pprof/heap")
	if len(p.SampleType) != 4 || p.DefaultSampleType != heap.DefaultSampleType || p.Period != heap.Period {
		t.Errorf("%v", p)
	}
	var fromGo, fromC int64
	root := ""
	for _, s := range p.Sample {
		n := names(s)
		if !slices.Contains(n, "main.forever") {
			continue
		}
		// Below main.forever both halves are the same stack, up to the root.
		if i := slices.Index(n, "main.forever"); root == "" {
			root = strings.Join(n[i:], " ")
		} else if got := strings.Join(n[i:], " "); got != root {
			t.Errorf("%q and %q", got, root)
		}
		switch {
		case slices.Contains(n, "main.remember"):
			fromGo += s.Value[3]
		case slices.Contains(n, "fill"):
			fromC += s.Value[1]
		}
	}
	if fromGo == 0 || fromC == 0 {
		t.Errorf("%d live from Go, %d allocated from C\n%v", fromGo, fromC, p)
	}
	file := filepath.Join(t.TempDir(), "allheap")
	if err := os.WriteFile(file, get(t, url+"/debug/pprof/allheap"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "tool", "pprof", "-top", "-symbolize=none", "-sample_index=alloc_space", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "main.remember") || !strings.Contains(string(out), "fill") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestProfilesOfAnAge(t *testing.T) {
	t.Parallel()
	url := start(t, "zstd") + "/debug/cgoheap/profile"
	time.Sleep(3 * time.Second)
	old, young, all := sums(fetch(t, url+"?min_age=1500ms")), sums(fetch(t, url+"?max_age=1500ms")), sums(fetch(t, url))
	if old[3] <= 0 || young[3] <= 0 || old[3] >= all[3] || young[3] >= all[3] {
		t.Errorf("old %v, young %v, all %v", old, young, all)
	}
	for query, labelled := range map[string]bool{"?min_age=1500ms": true, "?ages=1": true, "": false, "?peak=1": false} {
		for _, s := range fetch(t, url+query).Sample {
			if age := s.Label["age"]; labelled && !slices.Equal(age, []string{"under 1m"}) || !labelled && age != nil {
				t.Errorf("%s: the age is %q", query, age)
			}
		}
	}
	for _, bad := range []string{"?peak=1&min_age=1s", "?min_age=x", "?max_age=-1s", "?min_age=1s&seconds=1"} {
		answer, err := http.Get(url + bad)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 400 {
			t.Errorf("%s: %s", bad, answer.Status)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	url := start(t, "zstd")
	time.Sleep(time.Second)
	text := get(t, url+"/debug/cgoheap/metrics")
	line := regexp.MustCompile(`^(# (HELP|TYPE) cgoheap_[a-z_]+ .+|cgoheap_[a-z_]+(\{[a-z]+="[a-z_-]+"(,[a-z]+="[a-z_-]+")*\})? \d+)$`)
	seen := map[string]bool{}
	for l := range bytes.Lines(text) {
		l = bytes.TrimSuffix(l, []byte("\n"))
		if !line.Match(l) {
			t.Errorf("%q", l)
		}
		name, _, _ := strings.Cut(string(l), " ")
		if l[0] != '#' && seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, name := range []string{"cgoheap_live_bytes", "cgoheap_allocated_bytes_total", "cgoheap_malloc_free_bytes",
		`cgoheap_resident_part_bytes{part="c_live"}`, `cgoheap_lost_total{reason="samples_no_memory"}`} {
		if !seen[name] {
			t.Errorf("no %s", name)
		}
	}
	if !bytes.Contains(text, []byte("\ncgoheap_verdict_info{kind=")) {
		t.Error("no cgoheap_verdict_info")
	}
	var said struct {
		Kind    string
		Largest []struct{ Frames []string }
	}
	if err := json.Unmarshal(get(t, url+"/debug/cgoheap/verdict.json"), &said); err != nil || said.Kind == "" || len(said.Largest) == 0 || !strings.Contains(fmt.Sprint(said.Largest), "ZSTD_") {
		t.Errorf("%v %+v", err, said)
	}
	var vars struct {
		Cgoheap struct {
			LiveBytes int64 `json:"live_bytes"`
		}
	}
	if err := json.Unmarshal(get(t, url+"/debug/vars"), &vars); err != nil || vars.Cgoheap.LiveBytes == 0 {
		t.Errorf("%v %+v", err, vars)
	}
}
