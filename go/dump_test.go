//go:build unix

package cgoheap_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
)

// dumpingProgram runs TestDumpingProgram in a process of its own with CGOHEAP set, and returns what it said on stderr. Its first
// dump is to have that number.
func dumpingProgram(t *testing.T, setting, folder string, first int) string {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestDumpingProgram$", "-test.v")
	c.Env = append(os.Environ(), "CGOHEAP="+setting, "CGOHEAP_TEST_DUMPS="+folder, fmt.Sprint("CGOHEAP_TEST_FIRST=", first))
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if out, err := c.Output(); err != nil {
		t.Fatalf("%v\n%s%s", err, out, &stderr)
	}
	return stderr.String()
}

// TestDumpingProgram is the program: it passes a limit of 4 MiB, grows on to the double and more, and takes four signals.
func TestDumpingProgram(t *testing.T) {
	folder := os.Getenv("CGOHEAP_TEST_DUMPS")
	if folder == "" {
		t.Skip("run by TestDumps")
	}
	var first int
	fmt.Sscan(os.Getenv("CGOHEAP_TEST_FIRST"), &first)
	// Whoever else wants the signal gets it too.
	mine := make(chan os.Signal, 8)
	signal.Notify(mine, syscall.SIGUSR2)
	// newest waits for the n-th dump of this process.
	newest := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			names, _ := filepath.Glob(filepath.Join(folder, fmt.Sprintf("shop.%04d.*", first+n-1)))
			if len(names) == 1 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no dump number %d", n)
			}
		}
	}
	var blocks []plain.Block
	grow := func(mib int) {
		for range mib {
			blocks = append(blocks, plain.One(1<<20))
		}
	}
	grow(3)
	time.Sleep(100 * time.Millisecond)
	if names, _ := filepath.Glob(filepath.Join(folder, fmt.Sprintf("shop.%04d.*", first))); len(names) != 0 {
		t.Fatalf("below the limit: %q", names)
	}
	grow(1)
	newest(1)
	grow(3) // 7 of 8
	grow(1)
	newest(2)
	for n := range 4 {
		syscall.Kill(syscall.Getpid(), syscall.SIGUSR2)
		newest(3 + n)
		<-mine
	}
	for _, b := range blocks {
		plain.Free(b)
	}
}

func TestDumps(t *testing.T) {
	folder := t.TempDir()
	said := dumpingProgram(t, "rate=1,dump="+folder+"/shop,limit=4MiB,grow=2,signal=SIGUSR2,keep=4", folder, 1)
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	pattern := regexp.MustCompile(`^shop\.(\d{4})\.\d+\.(limit|grow|signal)\.pb\.gz$`)
	for _, e := range entries {
		m := pattern.FindStringSubmatch(e.Name())
		info, err := e.Info()
		if m == nil || err != nil || info.Mode() != 0o600 {
			t.Fatalf("%s %v %v", e.Name(), info.Mode(), err)
		}
		names = append(names, m[1]+" "+m[2])
	}
	// Six were written and four kept: the first, to compare with, and the last three.
	if !slices.Equal(names, []string{"0001 limit", "0004 signal", "0005 signal", "0006 signal"}) {
		t.Errorf("%q", names)
	}
	for i, want := range []string{"(limit)", "(grow)", "(signal)", "(signal)", "(signal)", "(signal)"} {
		if lines := strings.Split(said, "\n"); i >= len(lines) || !strings.HasPrefix(lines[i], "cgoheap: dump "+want) {
			t.Errorf("line %d doesn't say %s:\n%s", i, want, said)
		}
	}
	for i, mib := range map[int]int64{0: 4, 3: 8} {
		data, err := os.ReadFile(filepath.Join(folder, entries[i].Name()))
		if err != nil {
			t.Fatal(err)
		}
		p, err := profiledata.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		both := func(s *profiledata.Sample) bool {
			return profiledata.Leaf("plain_block")(s) && profiledata.Has("go_test.TestDumpingProgram")(s)
		}
		// The program doesn't wait for the dump: it may have had a block more by then.
		if got := p.Sum(both).InuseSpace >> 20; got < mib || got > mib+1 {
			t.Errorf("%s: %d MiB from plain_block, called by Go, want %d", entries[i].Name(), got, mib)
		}
	}

	// A process that comes after it goes on with the numbers, and the bound is for all.
	dumpingProgram(t, "rate=1,dump="+folder+"/shop,limit=4MiB,grow=2,signal=SIGUSR2,keep=2", folder, 7)
	left, err := filepath.Glob(folder + "/*")
	if err != nil || len(left) != 2 || !strings.Contains(left[0], "/shop.0007.") || !strings.Contains(left[1], "/shop.0012.") {
		t.Errorf("%v %q", err, left)
	}
}

func TestDumpSettingsThatCantBeObeyedAreComplainedOf(t *testing.T) {
	for setting, want := range map[string]string{
		"dump=/nowhere/shop,limit=1G":  `dump=/nowhere/shop: no dump can be written to /nowhere: No such file or directory`,
		"dump=/dev/null/x,limit=1G":    `no dump can be written to /dev/null: not a folder`,
		"dump=/tmp/x":                  `dump= needs limit=, grow= or signal= to say when: "dump=/tmp/x": ignored`,
		"limit=2GiB":                   `need dump=PREFIX to say where: "limit=2GiB": ignored`,
		"dump=/tmp/x,limit=lots":       `not a number of bytes above 0: "limit=lots": ignored`,
		"dump=/tmp/x,signal=SIGTERM":   `neither SIGUSR1 nor SIGUSR2: "signal=SIGTERM": ignored`,
		"dump=/tmp/x,grow=1,limit=1TB": `not a factor from 1.01 to 1000: "grow=1": ignored`,
	} {
		c := exec.Command(os.Args[0], "-test.run=^none$")
		c.Env = append(os.Environ(), "CGOHEAP="+setting)
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q:\n%s", setting, err, want, out)
		}
	}
}
