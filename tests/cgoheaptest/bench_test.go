package cgoheaptest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestBenchmarksCountExactly(t *testing.T) {
	line := regexp.MustCompile(`(?m)^(Benchmark\w+)(-\d+)?\s.*$`)
	for _, flags := range [][]string{{"./cases"}, {"-cpu=1,2", "-count=2", "./cases"}, {"-race", "./cases"}, {"./both"}} {
		out := mustPass(t, append([]string{"-run=^$", "-bench=.", "-benchtime=100x"}, flags...)...)
		lines := line.FindAllString(out, -1)
		if len(lines) == 0 {
			t.Fatal(out)
		}
		for _, l := range lines {
			// The one that uses package testing's timer happens to allocate too little outside of it to be seen.
			if !strings.Contains(l, " 300.0 C-B/op") || !strings.Contains(l, " 3.000 C-allocs/op") || !strings.Contains(l, " allocs/op") {
				t.Errorf("%q, want 300 C-B/op, 3 C-allocs/op and Go's own", l)
			}
		}
		timer, notes := strings.Count(strings.Join(lines, ""), "BenchmarkTimerOfTesting"), strings.Count(out, "use those of cgoheaptest")
		if (timer > 0) != (notes > 0) || notes > timer {
			t.Errorf("%d lines and %d notes about package testing's timer:\n%s", timer, notes, out)
		}
	}
}

func TestBenchstatReadsTheUnits(t *testing.T) {
	folder := t.TempDir()
	file := func(name string, flags ...string) string {
		out := mustPass(t, append(flags, "-run=^$", "-bench=Filename", "-benchtime=100x", "-count=6", "-benchmem", "./sqlite")...)
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(out), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	before, after := file("before"), file("after", "-modfile=fixed.mod")
	out, ok := output(t, nil, "go", "tool", "benchstat", "before="+before, "after="+after)
	if !ok {
		t.Fatal(out)
	}
	t.Log(out)
	for _, want := range []string{"C-B/op", "C-allocs/op", "Filename"} {
		if !strings.Contains(out, want) {
			t.Errorf("benchstat doesn't show %s:\n%s", want, out)
		}
	}
}
