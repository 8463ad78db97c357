package cgoheap_test

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/tests/ctest/callback"
	"github.com/cgoheap/cgoheap/tests/ctest/forced"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
)

// hasSymbols says whether this program has debug information for its C code. Plain `go test` strips it.
func hasSymbols(t *testing.T) bool {
	t.Helper()
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Section(".symtab") != nil
}

// lineOf returns the number of the one line in a source file that contains text.
func lineOf(t *testing.T, file, text string) int {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for i, line := range strings.Split(string(source), "\n") {
		if strings.Contains(line, text) {
			if at != 0 {
				t.Fatalf("%s: lines %d and %d contain %q", file, at, i+1, text)
			}
			at = i + 1
		}
	}
	if at == 0 {
		t.Fatalf("%s: no line contains %q", file, text)
	}
	return at
}

// frame formats a frame as package profiledata does.
func frame(t *testing.T, function, file, text string) string {
	t.Helper()
	return fmt.Sprintf("%s %s:%d", function, filepath.Base(file), lineOf(t, file, text))
}

// stackOf returns the stack of the only sample that matches, without the last Go frame, runtime.goexit, if it is there.
func stackOf(t *testing.T, p *profiledata.Profile, match func(*profiledata.Sample) bool) []string {
	t.Helper()
	var found [][]string
	for i := range p.Samples {
		if match(&p.Samples[i]) {
			var stack []string
			for _, f := range p.Samples[i].Stack {
				if f.Function != "runtime.goexit" {
					stack = append(stack, f.String())
				}
			}
			found = append(found, stack)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d samples match, want one:\n%s", len(found), dump(found))
	}
	return found[0]
}

func dump(stacks [][]string) string {
	var b strings.Builder
	for _, s := range stacks {
		b.WriteString("  " + strings.Join(s, "\n  ") + "\n\n")
	}
	return b.String()
}

// withSize matches samples whose blocks have this mean size.
func withSize(size int64) func(*profiledata.Sample) bool {
	return func(s *profiledata.Sample) bool { return s.Values[0] > 0 && s.Values[1] == size*s.Values[0] }
}

func both(a, b func(*profiledata.Sample) bool) func(*profiledata.Sample) bool {
	return func(s *profiledata.Sample) bool { return a(s) && b(s) }
}

const (
	plainC  = "../tests/ctest/plain/plain.c"
	plainGo = "../tests/ctest/plain/plain.go"
	pkg     = "github.com/cgoheap/cgoheap/go"
	ctest   = "github.com/cgoheap/cgoheap/tests/ctest"
)

// TestGoldenStack: all frames from the goroutine to malloc, in order, and no others.
func TestGoldenStack(t *testing.T) {
	done := make(chan plain.Block)
	go func() {
		done <- plain.Chain(7919)
	}()
	block := <-done
	defer plain.Release(block)

	want := []string{frame(t, "plain_inner", plainC, `line "inner"`)}
	if hasSymbols(t) {
		want = append(want,
			frame(t, "plain_middle", plainC, `line "middle"`),
			frame(t, "plain_outer", plainC, `line "outer"`))
	} else {
		// Nobody can name plain_outer and cgo's stub in a stripped program.
		want = append(want, "?", "?")
	}
	call := "return C.plain_outer("
	want = append(want,
		frame(t, "C.plain_outer", plainGo, call),
		frame(t, ctest+"/plain.chainInlined", plainGo, call),
		frame(t, ctest+"/plain.Chain", plainGo, "return chainInlined("),
		frame(t, pkg+"_test.TestGoldenStack.func1", "stack_test.go", "done <- plain.Chain("+"7919)"))

	p := profile(t)
	got := stackOf(t, p, both(profiledata.Leaf("plain_inner"), withSize(7919)))
	if !slices.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", dump([][]string{got}), dump([][]string{want}))
	}
	for _, s := range p.Samples {
		for _, f := range s.Stack {
			if f.Function == ctest+"/plain.chainInlined" {
				if !f.Inlined {
					t.Error("chainInlined is not marked as inlined into its caller")
				}
				if want := lineOf(t, plainGo, "func chainInlined("); f.StartLine != int64(want) {
					t.Errorf("chainInlined starts at line %d, want %d", f.StartLine, want)
				}
			}
		}
	}
}

// TestGoldenStackWithSymbols: the same in a program that isn't stripped, whose C frames have all their names.
func TestGoldenStackWithSymbols(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	if hasSymbols(t) {
		t.Skip("TestGoldenStack has done that")
	}
	program := filepath.Join(t.TempDir(), "golden.test")
	if out, err := exec.Command("go", "test", "-c", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	out, err := exec.Command(program, "-test.v", "-test.run=^(TestGoldenStack|TestCallbackStackIsWhole|TestForced.*|TestPlain.*)$").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestGoldenStack ") {
		t.Errorf("with symbols: %v\n%s", err, out)
	}
}

// TestCallbackStackIsWhole: Go calls C, which calls Go, which calls C, which allocates.
func TestCallbackStackIsWhole(t *testing.T) {
	callback.Hook = func() { grow(200) } // the goroutine's stack moves while C waits
	defer func() { callback.Hook = func() {} }()
	for depth := 1; depth <= 3; depth++ {
		size := 6000 + depth
		plain.Release(callback.Through(depth, size))
		got := stackOf(t, profile(t), both(profiledata.Leaf("callback_block"), withSize(int64(size))))

		var functions []string
		for _, f := range got {
			name, _, _ := strings.Cut(f, " ")
			name = strings.TrimPrefix(name, ctest+"/callback.")
			if name == "?" || strings.HasPrefix(name, "testing.") {
				continue // C without symbols
			}
			functions = append(functions, name)
		}
		want := []string{"callback_block", "C.callback_block", "allocate"}
		for range depth {
			want = append(want, "callbackFromC")
			if hasSymbols(t) {
				want = append(want, "callback_enter")
			}
			want = append(want, "C.callback_enter")
		}
		want = append(want, "Through", pkg+"_test.TestCallbackStackIsWhole")
		if !slices.Equal(functions, want) {
			t.Errorf("depth %d: got\n%swant\n%s", depth, dump([][]string{got}), dump([][]string{want}))
		}
	}
}

// grow uses so much stack that the goroutine needs a new one.
//
//go:noinline
func grow(depth int) int {
	var room [512]byte
	if depth == 0 {
		return len(room)
	}
	room[depth%len(room)] = byte(depth)
	return grow(depth-1) + int(room[0])
}

// TestPlainIncludeSeesWhatIsWritten: with #include "cgoheap.h", C.malloc, C.CString and C.CBytes are missed, C code of
// the preamble and C.free are seen.
func TestPlainIncludeSeesWhatIsWritten(t *testing.T) {
	for _, test := range []struct {
		name string
		make func() plain.Block
	}{
		{"Malloc", func() plain.Block { return plain.Malloc(1013) }},
		{"CString", func() plain.Block { return plain.CString(strings.Repeat("x", 1018)) }},
		{"CBytes", func() plain.Block { return plain.CBytes(make([]byte, 1019)) }},
	} {
		var b plain.Block
		if got := difference(t, profiledata.Has("plain."+test.name), func() { b = test.make() }); got != (profiledata.Values{}) {
			t.Errorf("C.%s is seen: %+v. Good news, but the documentation says otherwise", test.name, got)
		}
		plain.Free(b)
	}

	var b plain.Block
	got := difference(t, profiledata.Has("plain.InPreamble"), func() { b = plain.InPreamble(1021) })
	if want := (profiledata.Values{AllocObjects: 1, AllocSpace: 1021, InuseObjects: 1, InuseSpace: 1021}); got != want {
		t.Errorf("malloc in the preamble: %+v, want %+v", got, want)
	}
	p := profile(t)
	stack := stackOf(t, p, both(profiledata.Leaf("plain_in_preamble"), withSize(1021)))
	if want := frame(t, "plain_in_preamble", plainGo, "{ return malloc(size); }"); stack[0] != want {
		t.Errorf("leaf %s, want %s", stack[0], want)
	}
	got = difference(t, profiledata.Has("plain.InPreamble"), func() { plain.Free(b) })
	if want := (profiledata.Values{InuseObjects: -1, InuseSpace: -1021}); got != want {
		t.Errorf("C.free: %+v, want %+v", got, want)
	}
}

// TestForcedIncludeSeesAll: with -include cgoheap.h all of them are seen, and the leaf is what the Go caller wrote.
func TestForcedIncludeSeesAll(t *testing.T) {
	const forcedGo = "../tests/ctest/forced/forced.go"
	for _, test := range []struct {
		name, leaf, text string
		size             int64
		make             func() forced.Block
	}{
		{"Malloc", "C.malloc", "return C.malloc(", 2003, func() forced.Block { return forced.Malloc(2003) }},
		{"CString", "C.CString", "return Block(C.CString(", 2012, func() forced.Block { return forced.CString(strings.Repeat("x", 2011)) }},
		{"CBytes", "C.CBytes", "return C.CBytes(", 2017, func() forced.Block { return forced.CBytes(make([]byte, 2017)) }},
		{"One", "forced_block", "{ return malloc(size); }", 2027, func() forced.Block { return forced.One(2027) }},
	} {
		match := both(profiledata.Has("forced."+test.name), withSize(test.size))
		var b forced.Block
		got := difference(t, match, func() { b = test.make() })
		if want := (profiledata.Values{AllocObjects: 1, AllocSpace: test.size, InuseObjects: 1, InuseSpace: test.size}); got != want {
			t.Errorf("%s: %+v, want %+v", test.name, got, want)
			continue
		}
		stack := stackOf(t, profile(t), match)
		if want := frame(t, test.leaf, forcedGo, test.text); stack[0] != want {
			t.Errorf("%s: stack\n%swant the leaf %s", test.name, dump([][]string{stack}), want)
		}
		got = difference(t, match, func() { forced.Free(b) })
		if want := (profiledata.Values{InuseObjects: -1, InuseSpace: -test.size}); got != want {
			t.Errorf("%s, freed: %+v, want %+v", test.name, got, want)
		}
	}
}

// TestStackMovedBetweenMallocAndFree: the goroutine's stack is another one when the block is freed.
func TestStackMovedBetweenMallocAndFree(t *testing.T) {
	const workers = 50
	match := both(profiledata.Has("allocateDeep"), withSize(3001))
	got := difference(t, match, func() {
		done := make(chan struct{})
		for range workers {
			go func() {
				defer func() { done <- struct{}{} }()
				b := allocateDeep(1 + runtime.NumGoroutine()%3)
				grow(1000)
				plain.Release(b)
			}()
		}
		for range workers {
			<-done
		}
	})
	if want := (profiledata.Values{AllocObjects: workers, AllocSpace: workers * 3001}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, s := range profile(t).Samples {
		if match(&s) && !profiledata.Has("TestStackMovedBetweenMallocAndFree.func1.1")(&s) {
			t.Errorf("a stack doesn't reach the goroutine's function: %v", s.Stack)
		}
	}
}

//go:noinline
func allocateDeep(depth int) plain.Block {
	if depth == 0 {
		return plain.One(3001)
	}
	b := allocateDeep(depth - 1)
	runtime.KeepAlive(&depth)
	return b
}
