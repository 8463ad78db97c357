package capi

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

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

func inlinedInner() uintptr { return caller() }

// caller returns the address that its caller returns to, from a list of the innermost physical frame only.
//
//go:noinline
func caller() uintptr {
	pcs := make([]uintptr, 1)
	runtime.Callers(2, pcs)
	return pcs[0]
}

// after returns an address that could be a return address in f.
func after(f any) uintptr { return reflect.ValueOf(f).Pointer() + 2 }

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
	const here = "github.com/cgoheap/cgoheap/go/internal/capi."
	for i, name := range []string{"inlinedInner", "inlinedMiddle", "notInlined"} {
		function, rest, _ := strings.Cut(frames[0][i], " ")
		var file string
		var line, start int
		if _, err := fmt.Sscan(rest, &file, &line, &start); err != nil {
			t.Fatalf("%q: %v", rest, err)
		}
		if function != here+name || !strings.HasSuffix(file, "names_test.go") || line != start || line == 0 {
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
