package cgoheaptest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

const (
	maxStacks = 20 // shown in a report
	maxFrames = 40 // shown of a stack
)

// report is what a failed test prints: for somebody who has never heard of this package.
func (v *verdict) report(t TestingT) string {
	var b strings.Builder
	if len(v.own) > 0 {
		bytes, blocks := total(v.own)
		fmt.Fprintf(&b, "C memory leak: %s in %s, allocated by %s, not freed when the test ended\n",
			count(bytes, "byte"), count(blocks, "block"), count(int64(len(v.own)), "stack"))
		writeLeaks(&b, v.own)
	}
	if len(v.unclear) > 0 {
		if len(v.own) > 0 {
			b.WriteString("\n")
		}
		bytes, blocks := total(v.unclear)
		fmt.Fprintf(&b, "C memory can't be verified: %s in %s may be this test's or that of another unfinished test,\n"+
			"    since no test's function is on the stack, or one that they share. Unfinished: %s.\n"+
			"    Verify without t.Parallel, or the whole package by cgoheaptest.VerifyTestMain. A test with parallel subtests\n"+
			"    verifies in t.Cleanup, which runs when they have ended.\n",
			count(bytes, "byte"), count(blocks, "block"), someOf(v.others))
		writeLeaks(&b, v.unclear)
	}
	b.WriteString("\n")
	all := append(v.own[:len(v.own):len(v.own)], v.unclear...)
	for _, hint := range append(firstUse(v.own, t == nil), hints(all)...) {
		fmt.Fprintf(&b, "    %s\n", hint)
	}
	if path, err := saveProfile(t); err != nil {
		fmt.Fprintf(&b, "    The profile could not be saved: %v", err)
	} else {
		fmt.Fprintf(&b, "    All live C memory: go tool pprof %s", path)
	}
	return b.String()
}

func writeLeaks(b *strings.Builder, leaks []leak) {
	for i, l := range leaks {
		if i == maxStacks {
			bytes, blocks := total(leaks[i:])
			fmt.Fprintf(b, "\n    and %s in %s, allocated by %s more\n",
				count(bytes, "byte"), count(blocks, "block"), count(int64(len(leaks)-i), "stack"))
			return
		}
		fmt.Fprintf(b, "\n    %s in %s allocated in C by\n", count(l.bytes, "byte"), count(l.blocks, "block"))
		writeStack(b, l.stack)
	}
}

func writeStack(b *strings.Builder, stack []profiledata.Frame) {
	shown, more := withoutStub(trim(stack)), 0
	if len(shown) > maxFrames {
		shown, more = shown[:maxFrames], len(shown)-maxFrames
	}
	inGo := false
	for i, f := range shown {
		if i > 0 && !inGo && isGo(f) {
			b.WriteString("    called from Go by\n")
		}
		inGo = inGo || isGo(f)
		b.WriteString("        " + frameText(f) + "\n")
	}
	if more > 0 {
		fmt.Fprintf(b, "        and %d more\n", more)
	}
}

// trim takes off the frames at the root that every test has. Goroutines of the testing package begin there, and main.
func trim(stack []profiledata.Frame) []profiledata.Frame {
	end := len(stack)
	for end > 1 {
		function := stack[end-1].Function
		if !strings.HasPrefix(function, "testing.") && function != "runtime.goexit" && function != "runtime.main" && function != "main.main" {
			break
		}
		end--
	}
	return stack[:end]
}

// withoutStub takes off what a stripped program shows inside of C.CString and its like: the nameless function that cgo
// wrote to call malloc.
func withoutStub(stack []profiledata.Frame) []profiledata.Frame {
	for i, f := range stack {
		switch {
		case f.Function == "C.CString" || f.Function == "C.CBytes" || f.Function == "C.malloc":
			return stack[i:]
		case f.Function != "":
			return stack
		}
	}
	return stack
}

// isGo says whether a frame is a Go function's: those have a package. C.x is cgo's way into C.
func isGo(f profiledata.Frame) bool {
	return !strings.HasPrefix(f.Function, "C.") && strings.Contains(f.Function, ".") && strings.HasSuffix(f.File, ".go")
}

func frameText(f profiledata.Frame) string {
	if f.Function == "" {
		if f.Object == "" {
			return fmt.Sprintf("unknown code at %#x", f.Address)
		}
		return fmt.Sprintf("%s+%#x (no symbols)", filepath.Base(f.Object), f.Offset)
	}
	if f.File == "" {
		if f.Object != "" && !strings.HasPrefix(f.Function, "[") {
			return fmt.Sprintf("%s  %s", f.Function, filepath.Base(f.Object))
		}
		return f.Function
	}
	return fmt.Sprintf("%s  %s:%d", f.Function, shortPath(f.File), f.Line)
}

// someOf lists names, the first few.
func someOf(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// shortPath makes files of the test's module relative to its folder, and leaves out where the module cache and Go are.
func shortPath(file string) string {
	if folder, err := os.Getwd(); err == nil {
		if root := moduleRoot(folder); strings.HasPrefix(file, root+"/") {
			if path, err := filepath.Rel(folder, file); err == nil {
				return path
			}
		}
	}
	if cache := os.Getenv("GOMODCACHE"); cache != "" {
		if path, ok := strings.CutPrefix(file, filepath.Clean(cache)+"/"); ok {
			return path
		}
	}
	for _, marker := range []string{"/pkg/mod/", "/go/src/"} {
		if at := strings.LastIndex(file, marker); at >= 0 {
			return file[at+len(marker):]
		}
	}
	return file
}

// moduleRoot returns the folder above that has a go.mod, or the folder itself.
func moduleRoot(folder string) string {
	for at := folder; at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
	}
	return folder
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// firstUse is the remedy for what a library keeps from its first use, should the leaks look like it.
func firstUse(leaks []leak, ofAll bool) []string {
	if len(leaks) == 0 || slices.ContainsFunc(leaks, func(l leak) bool { return l.blocks != 1 }) {
		return nil
	}
	remedy := "    use(); cgoheaptest.Baseline(t); defer cgoheaptest.VerifyNone(t)"
	if ofAll {
		remedy = "    func TestMain(m *testing.M) { use(); cgoheaptest.VerifyTestMain(m) }"
	}
	return []string{"Each stack leaked once. If a library keeps this from its first use, use it once and begin behind that:", remedy}
}

// hints says what helps with these leaks.
func hints(leaks []leak) []string {
	var list []string
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	var forgotten, nameless bool
	for _, l := range leaks {
		if len(l.stack) == 0 {
			continue
		}
		stack := withoutStub(l.stack)
		forgotten = forgotten || stack[0].Function == "C.CString" || stack[0].Function == "C.CBytes"
		for _, f := range stack {
			nameless = nameless || f.Function == "" && f.Object != "" && isProgram(f.Object)
		}
	}
	if forgotten {
		list = append(list, "What C.CString and C.CBytes return must be freed: C.free(unsafe.Pointer(p)).")
	}
	if nameless {
		list = append(list, "For the names and lines of C functions: go test -ldflags='-s=false -w=false'.")
	}
	if stats.Rate > 1 {
		list = append(list, fmt.Sprintf("Numbers are estimates: one sample every %d bytes.", stats.Rate))
	}
	if stats.Interpose == cgoheap.InterposeAbsent {
		list = append(list, "Only C code compiled with cgoheap.h is seen: a block that other code has freed looks live. To see all,")
		list = append(list, `import _ "github.com/cgoheap/cgoheap/go/interpose".`)
	}
	if !stats.GoFrames {
		list = append(list, "Go callers are not shown: "+stats.GoFramesProblem+".")
	}
	return list
}

func isProgram(object string) bool {
	program, err := os.Executable()
	return err == nil && object == program
}
