package calibrate

import (
	"reflect"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// realSightings returns what the probes of this program find.
func realSightings(t *testing.T) (direct, nested *sighting) {
	t.Helper()
	if !capi.Supported {
		t.Skip("this program has no C side")
	}
	direct, nested = probes()
	if problem := checkDirect(direct); problem != "" {
		t.Fatalf("the probe of this program: %s", problem)
	}
	if !checkNested(direct, nested) {
		t.Fatalf("the nested probe of this program is refused: %+v", nested)
	}
	return direct, nested
}

// after returns an address that could be a return address in f.
func after(f any) uintptr { return reflect.ValueOf(f).Pointer() + 2 }

// goodSighting is a sighting as the check expects it: made of the functions that must be there, of which those of the runtime
// and cgo are taken from a real one.
func goodSighting(real *sighting) *sighting {
	goexit := reflect.ValueOf(pprof.Do).Pointer() + 1 // any function does, as long as both say the same
	s := &sighting{callers: []uintptr{after(probeDirect), after(probeOuter), goexit}}
	s.Boundary = real.Boundary
	s.PCs = append([]uintptr{real.PCs[0], real.PCs[1], after(capi.ProbeStack)}, s.callers...)
	return s
}

func TestCheckAtStartRefusesWhatItDoesNotKnow(t *testing.T) {
	direct, _ := realSightings(t)
	if problem := checkDirect(goodSighting(direct)); problem != "" {
		t.Fatalf("a good sighting: %s", problem)
	}
	for _, test := range []struct {
		name, problem string
		spoil         func(*sighting)
	}{
		{"no boundary found", "no way from C", func(s *sighting) { s.Failed = true }},
		{"no way from C", "--eh-frame-hdr", func(s *sighting) { s.Failed, s.NoTables = true, true }},
		{"boundary elsewhere", "expected runtime.asmcgocall", func(s *sighting) { s.Boundary = s.PCs[0] }},
		{"boundary in C", "not Go code", func(s *sighting) { s.Boundary = 0x10 }},
		{"no frames", "only 0 Go frames", func(s *sighting) { s.PCs = nil }},
		{"walk begins too late", "innermost Go frame", func(s *sighting) { s.PCs = s.PCs[1:] }},
		{"no stub", "the cgo stub", func(s *sighting) { s.PCs = slices.Delete(s.PCs, 1, 2) }},
		{"function that called C missing", "expected the function that called C", func(s *sighting) { s.PCs = slices.Delete(s.PCs, 2, 3) }},
		{"its caller missing", "not its caller", func(s *sighting) { s.PCs = slices.Delete(s.PCs, 3, 4) }},
		{"nothing but C calls", "not its caller", func(s *sighting) { s.PCs = append(s.PCs[:3:3], s.PCs[2]) }},
		{"a frame left out", "runtime.Callers", func(s *sighting) { s.PCs = slices.Delete(s.PCs, 4, 5) }},
		{"a frame too many", "runtime.Callers", func(s *sighting) { s.PCs = append(s.PCs, s.Boundary) }},
		{"a wrong frame", "runtime.Callers", func(s *sighting) { s.PCs[4]++ }},
	} {
		s := goodSighting(direct)
		test.spoil(s)
		if problem := checkDirect(s); !strings.Contains(problem, test.problem) {
			t.Errorf("%s: %q, want %q", test.name, problem, test.problem)
		}
	}
}

func TestNestedCheckRefusesWhatItDoesNotKnow(t *testing.T) {
	direct, nested := realSightings(t)
	for name, spoil := range map[string]func(s *sighting){
		"failed":             func(s *sighting) { s.Failed = true },
		"another boundary":   func(s *sighting) { s.Boundary++ },
		"no callback":        func(s *sighting) { s.Callback = 0 },
		"callback elsewhere": func(s *sighting) { s.Callback = s.Boundary },
		"no frames":          func(s *sighting) { s.PCs = nil },
		"not called back":    func(s *sighting) { s.PCs = direct.PCs },
	} {
		spoilt := *nested
		spoil(&spoilt)
		if checkNested(direct, &spoilt) {
			t.Errorf("%s: accepted", name)
		}
	}
}
