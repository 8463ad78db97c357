package cgoheaptest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestBenchmarksCountExactly(t *testing.T) {
	line := regexp.MustCompile(`(?m)^(Benchmark[\w/]+)(-\d+)?\s+\d+\s.*$`)
	for _, test := range []struct {
		flags []string
		lines int
	}{
		{[]string{"-benchtime=100x", "./cases"}, 8},
		{[]string{"-benchtime=5ms", "./cases"}, 8}, // several runs, with more operations each time
		{[]string{"-benchtime=100x", "-cpu=1,2", "-count=2", "-shuffle=on", "./cases"}, 8 * 4},
		{[]string{"-benchtime=100x", "-race", "./cases"}, 8},
		{[]string{"-benchtime=100x", "-cover", "./cases"}, 8},
		{[]string{"-benchtime=100x", "./both"}, 1},
	} {
		out := mustPass(t, append([]string{"-run=^$", "-bench=."}, test.flags...)...)
		lines := line.FindAllString(out, -1)
		if len(lines) != test.lines {
			t.Errorf("%q: %d lines, want %d:\n%s", test.flags, len(lines), test.lines, out)
		}
		for _, l := range lines {
			if !strings.Contains(l, " 300.0 C-B/op") || !strings.Contains(l, " 3.000 C-allocs/op") || !strings.Contains(l, " allocs/op") {
				t.Errorf("%q, want 300 C-B/op, 3 C-allocs/op and Go's own", l)
			}
		}
		if strings.Contains(out, "cgoheaptest:") {
			t.Errorf("%q: nothing need be said:\n%s", test.flags, out)
		}
	}
}

func TestBenchstatReadsAndScalesTheUnits(t *testing.T) {
	folder := t.TempDir()
	file := func(name string, env ...string) string {
		out, ok := output(t, env, "go", "test", "-run=^$", "-bench=Compress", "-benchtime=100x", "-count=6", "-benchmem", "./zstd")
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(out), 0o666); err != nil || !ok {
			t.Fatal(err, out)
		}
		return path
	}
	before, after := file("before"), file("after", "ZSTD_REUSE=1")
	out, ok := output(t, nil, "go", "tool", "benchstat", "before="+before, "after="+after)
	if !ok {
		t.Fatal(out)
	}
	t.Log(out)
	// A writer allocates 5,498,401 bytes in two blocks: 5.244 MiB.
	for _, want := range []string{`\bC-B/op\b`, `\bC-allocs/op\b`, `(5\.244Mi|5369\.5\d*Ki) ± 0%.*-100\.00%`, `2\.000 ± 0%`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q in what benchstat shows:\n%s", want, out)
		}
	}
}
