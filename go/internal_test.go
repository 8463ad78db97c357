//go:build linux && amd64 && cgo

package cgoheap

import (
	"io"
	"reflect"
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
		{"no way from C", "--eh-frame-hdr", func(s *sighting) { s.failed, s.noTables = true, true }},
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
