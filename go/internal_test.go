//go:build linux && amd64 && cgo

package cgoheap

import (
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
)

// A sighting as the check expects it: made of the functions that must be there.
func goodSighting() *sighting {
	goexit := reflect.ValueOf(pprof.Do).Pointer() + 1 // any function does, as long as both say the same
	s := &sighting{
		boundary: symbol("runtime.asmcgocall"),
		callers:  []uintptr{after(probeDirect), after(probeOuter), goexit},
	}
	s.pcs = append([]uintptr{symbol("runtime.cgocall"), symbol("_Cfunc_cgoheap_go_probe")}, s.callers...)
	return s
}

// after returns an address that could be a return address in f.
func after(f any) uintptr { return reflect.ValueOf(f).Pointer() + 2 }

// seen holds return addresses of the runtime's functions, taken from a real probe.
var seen = map[string]uintptr{}

func symbol(name string) uintptr { return seen[name] }

func realSighting(t *testing.T) *sighting {
	t.Helper()
	s, nested := probes()
	if problem := checkDirect(s); problem != "" {
		t.Fatalf("the probe of this program: %s", problem)
	}
	if !checkNested(s, nested) {
		t.Fatalf("the nested probe of this program is refused: %+v", nested)
	}
	seen["runtime.asmcgocall"] = s.boundary
	seen["runtime.cgocall"] = s.pcs[0]
	seen["_Cfunc_cgoheap_go_probe"] = s.pcs[1]
	return s
}

func TestCheckAtStartRefusesWhatItDoesNotKnow(t *testing.T) {
	realSighting(t)
	if problem := checkDirect(goodSighting()); problem != "" {
		t.Fatalf("a good sighting: %s", problem)
	}
	for _, test := range []struct {
		name, problem string
		spoil         func(*sighting)
	}{
		{"no boundary found", "no way from C", func(s *sighting) { s.failed = true }},
		{"boundary elsewhere", "expected runtime.asmcgocall", func(s *sighting) { s.boundary = s.pcs[0] }},
		{"boundary in C", "not Go code", func(s *sighting) { s.boundary = 0x10 }},
		{"no frames", "only 0 Go frames", func(s *sighting) { s.pcs = nil }},
		{"walk begins too late", "innermost Go frame", func(s *sighting) { s.pcs = s.pcs[1:] }},
		{"no stub", "the cgo stub", func(s *sighting) { s.pcs = slices.Delete(s.pcs, 1, 2) }},
		{"caller missing", "expected the function that called C", func(s *sighting) { s.pcs = slices.Delete(s.pcs, 2, 3) }},
		{"a frame left out", "runtime.Callers", func(s *sighting) { s.pcs = slices.Delete(s.pcs, 3, 4) }},
		{"a frame too many", "runtime.Callers", func(s *sighting) { s.pcs = append(s.pcs, s.boundary) }},
		{"a wrong frame", "runtime.Callers", func(s *sighting) { s.pcs[3]++ }},
	} {
		s := goodSighting()
		test.spoil(s)
		if problem := checkDirect(s); !strings.Contains(problem, test.problem) {
			t.Errorf("%s: %q, want %q", test.name, problem, test.problem)
		}
	}
}

func TestNestedCheckRefusesWhatItDoesNotKnow(t *testing.T) {
	realSighting(t)
	direct, nested := probes()
	for name, spoil := range map[string]func(s *sighting){
		"failed":             func(s *sighting) { s.failed = true },
		"another boundary":   func(s *sighting) { s.boundary++ },
		"no callback":        func(s *sighting) { s.callback = 0 },
		"callback elsewhere": func(s *sighting) { s.callback = s.boundary },
		"no frames":          func(s *sighting) { s.pcs = nil },
		"not called back":    func(s *sighting) { s.pcs = direct.pcs },
	} {
		spoilt := *nested
		spoil(&spoilt)
		if checkNested(direct, &spoilt) {
			t.Errorf("%s: accepted", name)
		}
	}
}

// readTable takes the table of names apart as cgoheap.h describes it.
func readTable(t *testing.T, table []byte) (frames [][]string) {
	t.Helper()
	word := func() uint32 {
		w := binary.LittleEndian.Uint32(table)
		table = table[4:]
		return w
	}
	texts := make([]string, word())
	for i := range texts {
		n := word()
		texts[i] = string(table[:n])
		table = table[(n+3)&^3:]
	}
	for range word() {
		var f []string
		for range word() {
			f = append(f, fmt.Sprintf("%s %s %d %d", texts[word()], texts[word()], word(), word()))
		}
		frames = append(frames, f)
	}
	if len(table) != 0 {
		t.Fatalf("%d bytes left", len(table))
	}
	return frames
}

func inlinedInner() uintptr { return callers()[0] }

func inlinedMiddle() uintptr { return inlinedInner() }

//go:noinline
func notInlined() uintptr { return inlinedMiddle() }

func TestNamesOfInlinedFunctionsAreWhatCallersSays(t *testing.T) {
	// runtime.Callers gives an address for each inlined function, the stack holds the innermost only.
	pc := notInlined()
	frames := readTable(t, nameTable([]uint64{uint64(pc), 1, uint64(pc)}))
	if len(frames) != 3 || len(frames[1]) != 0 || !slices.Equal(frames[0], frames[2]) {
		t.Fatalf("%q", frames)
	}
	if len(frames[0]) != 3 {
		t.Fatalf("%q, want three functions", frames[0])
	}
	const here = "github.com/cgoheap/cgoheap/go."
	for i, name := range []string{"inlinedInner", "inlinedMiddle", "notInlined"} {
		function, rest, _ := strings.Cut(frames[0][i], " ")
		var file string
		var line, start int
		if _, err := fmt.Sscan(rest, &file, &line, &start); err != nil {
			t.Fatalf("%q: %v", rest, err)
		}
		if function != here+name || !strings.HasSuffix(file, "internal_test.go") || line != start || line == 0 {
			t.Errorf("%q, want %s, which has one line", frames[0][i], name)
		}
	}
}

func TestEmptyTableOfNames(t *testing.T) {
	if frames := readTable(t, nameTable(nil)); len(frames) != 0 {
		t.Errorf("%q", frames)
	}
}

func TestStartLineWithoutThePrivateField(t *testing.T) {
	field := startLineField
	defer func() { startLineField = field }()
	if field == nil {
		t.Error("this Go version has no field startLine in runtime.Frame")
	}
	startLineField = nil
	frame, _ := runtime.CallersFrames([]uintptr{after(notInlined)}).Next()
	if got := startLine(&runtime.Frame{Func: frame.Func, Entry: frame.Entry}); got == 0 {
		t.Error("no first line for a function that isn't inlined")
	}
	if got := startLine(&runtime.Frame{}); got != 0 {
		t.Errorf("first line %d for nothing", got)
	}
}

func TestProfileFieldLooksAtNameAndType(t *testing.T) {
	if _, ok := profileField[func() int]("count"); !ok {
		t.Error("no field count: Go's pprof.Profile has changed")
	}
	if _, ok := profileField[func(io.Writer, int) error]("write"); !ok {
		t.Error("no field write: Go's pprof.Profile has changed")
	}
	if _, ok := profileField[func() int]("write"); ok {
		t.Error("a field of another type is accepted")
	}
	if _, ok := profileField[func() int]("missing"); ok {
		t.Error("a field that isn't there is accepted")
	}
}

func TestSecondRegistrationIsRefusedWithoutPanic(t *testing.T) {
	if problem := register(); !strings.Contains(problem, "another package") {
		t.Errorf("%q", problem)
	}
}
