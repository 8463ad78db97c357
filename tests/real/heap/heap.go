// Package heap is what the tests of this module share: the whole process captured, every allocation sampled, and the profile
// read by google/pprof.
package heap

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/pprof/profile"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func init() { cgoheap.SetRate(1) }

// Profile is a profile whose four sample types are those of a heap profile.
type Profile struct{ *profile.Profile }

// Values of the four sample types.
type Values struct{ AllocObjects, AllocBytes, InUseObjects, InUseBytes int64 }

// stripped says whether this program has lost its DWARF: `go test` strips what it runs, unless it keeps the binary.
var stripped = sync.OnceValue(func() bool {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return true
	}
	defer f.Close()
	return f.Section(".debug_info") == nil && f.Section(".zdebug_info") == nil
})

// Now takes the profile and has google/pprof check it.
func Now(t testing.TB) Profile {
	t.Helper()
	if stripped() {
		t.Fatal("go test has stripped the names of C functions: run scripts/test-real.sh, or go test -o some/folder/")
	}
	var buffer bytes.Buffer
	if err := cgoheap.WriteHeapProfile(&buffer); err != nil {
		t.Fatal(err)
	}
	return Parse(t, buffer.Bytes())
}

// Parse reads a profile from elsewhere.
func Parse(t testing.TB, data []byte) Profile {
	t.Helper()
	p, err := profile.ParseData(data)
	if err != nil {
		t.Fatalf("not a profile: %v\n%.300q", err, data)
	}
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, s := range p.SampleType {
		types = append(types, s.Type+"/"+s.Unit)
	}
	if got := strings.Join(types, " "); got != "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes" {
		t.Fatalf("sample types %s", got)
	}
	return Profile{p}
}

// Stack returns the functions of a sample, leaf first; an address without a name is "?" and the name of its file.
func Stack(s *profile.Sample) (names []string) {
	for _, location := range s.Location {
		if len(location.Line) == 0 {
			file := "nowhere"
			if location.Mapping != nil && location.Mapping.File != "" {
				file = filepath.Base(location.Mapping.File)
			}
			names = append(names, "?"+file)
		}
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// In says whether the stack has all these functions, in this order from the leaf on. A name also stands for one that ends
// in it behind a dot or a slash.
func In(stack []string, functions ...string) bool {
	for _, name := range stack {
		if len(functions) == 0 {
			break
		}
		want := functions[0]
		if name == want || strings.HasSuffix(name, "."+want) || strings.HasSuffix(name, "/"+want) {
			functions = functions[1:]
		}
	}
	return len(functions) == 0
}

// Sum adds up the samples whose stacks have all these functions; see [In].
func (p Profile) Sum(functions ...string) (sum Values) {
	for _, s := range p.Sample {
		if In(Stack(s), functions...) {
			sum.AllocObjects += s.Value[0]
			sum.AllocBytes += s.Value[1]
			sum.InUseObjects += s.Value[2]
			sum.InUseBytes += s.Value[3]
		}
	}
	return sum
}

// Top returns the stack that most bytes in use belong to.
func (p Profile) Top() (stack []string, bytes int64) {
	for _, s := range p.Sample {
		if s.Value[3] > bytes {
			stack, bytes = Stack(s), s.Value[3]
		}
	}
	return stack, bytes
}

// Text lists the stacks with something in use that have all these functions, for messages.
func (p Profile) Text(functions ...string) string {
	var text strings.Builder
	for _, s := range p.Sample {
		if stack := Stack(s); s.Value[2] != 0 && In(stack, functions...) {
			fmt.Fprintf(&text, "%d objects, %d bytes: %s\n", s.Value[2], s.Value[3], strings.Join(stack, " < "))
		}
	}
	return text.String()
}

// Expect fails the test unless objects and bytes in use of these functions are as given.
func (p Profile) Expect(t testing.TB, objects, bytes int64, functions ...string) {
	t.Helper()
	if got := p.Sum(functions...); got.InUseObjects != objects || got.InUseBytes != bytes {
		t.Errorf("%s: %d objects, %d bytes in use, want %d, %d\n%s", strings.Join(functions, " < "), got.InUseObjects,
			got.InUseBytes, objects, bytes, p.Text(functions...))
	}
}

// ExpectWhole fails the test unless the whole process is captured and nothing was lost.
func ExpectWhole(t testing.TB) {
	t.Helper()
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	if stats.Interpose != cgoheap.InterposeWhole {
		t.Errorf("interpose: %v", stats.Interpose)
	}
	if !stats.GoFrames {
		t.Errorf("no Go frames: %s", stats.GoFramesProblem)
	}
	lost := stats.Lost
	if n := lost.SamplesNoMemory + lost.SamplesLockBusy + lost.StacksTableFull + lost.FreesLockBusy + lost.FreesUnseen +
		lost.ModulesTableFull + lost.StacksBadGo + lost.StacksGoOff; n != 0 {
		t.Errorf("lost: %+v", lost)
	}
}
