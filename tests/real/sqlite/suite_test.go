package sqlite_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// run runs a command in a folder and returns what it printed.
func run(folder string, environment []string, command ...string) (string, error) {
	c := exec.Command(command[0], command[1:]...)
	c.Dir = folder
	c.Env = append(os.Environ(), environment...)
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w", strings.Join(command, " "), err)
	}
	return string(out), err
}

func mustRun(t *testing.T, folder string, command ...string) string {
	t.Helper()
	out, err := run(folder, []string{"GOFLAGS=", "GOWORK=off"}, command...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// The file that the copy gets: the import, and the proof that it worked.
const importFile = `package sqlite3

import (
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func TestZZZ(t *testing.T) {
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	if stats.Interpose != cgoheap.InterposeWhole || stats.Samples < 100000 {
		t.Errorf("not every malloc of the process is seen, or few were sampled: %+v", stats)
	}
	t.Logf("%+v", stats)
}
`

var resultLine = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) `)

// results reads the output of a test program: test name to result.
func results(output string) map[string]string {
	found := make(map[string]string)
	for _, match := range resultLine.FindAllStringSubmatch(output, -1) {
		found[match[2]] = match[1]
	}
	return found
}

// go-sqlite3's own tests give the same results when the whole process is captured and every allocation is sampled.
func TestOwnSuiteGivesTheSameResults(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	source := mustRun(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/mattn/go-sqlite3")
	programs := make(map[string]string)
	for _, name := range []string{"without", "with"} {
		folder := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(folder, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		mustRun(t, folder, "chmod", "-R", "u+w", ".") // the module cache is read-only
		if name == "with" {
			if err := os.WriteFile(filepath.Join(folder, "zzz_test.go"), []byte(importFile), 0o666); err != nil {
				t.Fatal(err)
			}
			mustRun(t, folder, "go", "mod", "edit", "-go=1.25", "-require=github.com/cgoheap/cgoheap@v0.0.0",
				"-replace=github.com/cgoheap/cgoheap="+root)
		}
		programs[name] = folder
	}
	built := make(chan error)
	for _, folder := range programs {
		go func() { // at the same time: SQLite is one large file
			out, err := run(folder, []string{"GOFLAGS=", "GOWORK=off"}, "go", "test", "-c", "-o", "suite")
			if err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
			}
			built <- err
		}()
	}
	for range programs {
		if err := <-built; err != nil {
			t.Fatal(err)
		}
	}
	runs := 1
	if os.Getenv("CGOHEAP_LONG") != "" {
		runs = 10
	}
	for range runs {
		plain, err := run(programs["without"], nil, "./suite", "-test.v")
		if err != nil {
			t.Fatalf("fails without the import too: %v\n%s", err, plain)
		}
		seen, err := run(programs["with"], []string{"CGOHEAP=rate=1"}, "./suite", "-test.v")
		if err != nil {
			t.Errorf("%v\n%s", err, seen)
		}
		want, got := results(plain), results(seen)
		delete(got, "TestZZZ")
		if len(want) < 70 {
			t.Errorf("only %d results", len(want))
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if got[name] != want[name] {
				t.Errorf("%s: %q, without the import %q", name, got[name], want[name])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d results, without the import %d", len(got), len(want))
		}
	}
}
