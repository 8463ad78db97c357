package cgoheaptest

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// recorder is a TestingT that remembers.
type recorder struct {
	errors, logs []string
}

func (*recorder) Helper()      {}
func (*recorder) Name() string { return "TestRecorded" }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Logf(format string, args ...any) {
	r.logs = append(r.logs, fmt.Sprintf(format, args...))
}

func TestUselessOptionsFailTheTest(t *testing.T) {
	for _, test := range []struct {
		option Option
		want   string
	}{
		{nil, "an option is nil"},
		{IgnoreFunction(""), "matches every function"},
		{IgnoreFunction("["), "missing closing ]"},
		{AllowBytes(0), "AllowBytes(0): must be greater than 0"},
		{AllowBlocks(-1), "AllowBlocks(-1): must be greater than 0"},
		{RetryFor(-1), "RetryFor(-1ns): must not be negative"},
	} {
		if _, err := newOptions([]Option{test.option}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

func TestAllowances(t *testing.T) {
	leaks := []leak{{bytes: 100, blocks: 2}, {bytes: 10, blocks: 1}}
	for _, test := range []struct {
		options []Option
		want    bool
	}{
		{nil, false},
		{[]Option{AllowBytes(110)}, true},
		{[]Option{AllowBytes(109)}, false},
		{[]Option{AllowBlocks(3)}, true},
		{[]Option{AllowBlocks(2)}, false},
		{[]Option{AllowBytes(110), AllowBlocks(2)}, false},
		{[]Option{AllowBytes(110), AllowBlocks(3)}, true},
	} {
		o, err := newOptions(test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := o.allows(leaks); got != test.want {
			t.Errorf("%+v: %v", o, got)
		}
	}
}

// frames makes a stack: "function" for Go, "function@object" for C.
func frames(names ...string) []profiledata.Frame {
	var stack []profiledata.Frame
	for _, name := range names {
		function, object, _ := strings.Cut(name, "@")
		stack = append(stack, profiledata.Frame{Function: function, Object: object})
	}
	return stack
}

func TestKeepers(t *testing.T) {
	const libc, loader, program = "@/lib/x86_64-linux-gnu/libc.so.6", "@/lib64/ld-linux-x86-64.so.2", "@/tmp/x.test"
	for _, test := range []struct {
		want  string
		bytes int64
		stack []profiledata.Frame
	}{
		{"", 1, nil},
		{"", 1, frames("C.CString"+program, "example.com/x.TestX")},
		{"", 1, frames("strdup"+libc, program, "C.f", "x.TestX")},
		{"package initialisation", 1, frames("C.f", "x.init.0", "runtime.doInit1", "runtime.main")},
		{"the Go runtime", 1, frames(program, cutByRuntime)},
		{"the environment", 1, frames(libc, "runtime.setenv_c", "os.Setenv", "x.TestX")},
		{"the environment", 1, frames("__add_to_environ"+libc, "setenv"+libc, "C.f", "x.TestX")},
		{"the dynamic loader", 1, frames(loader, "pthread_create"+libc, "C.f", "x.TestX")},
		{"the dynamic loader", 1, frames("@/usr/lib/libstdc++.so.6", loader, "dlopen"+libc, "C.f", "x.TestX")},
		{"threads", 1, frames("__pthread_create_2_1"+libc, "C.f", "x.TestX")},
		{"libc", 1, frames("strdup"+libc, "__GI_setlocale"+libc, "C.f", "x.TestX")},
		{"libc", 1, frames("ttyname"+libc, "C.f")},
		{"", 1, frames("ttyname"+program, "C.f")},
		// What is called back by libc is not libc's, what it hands out isn't either.
		{"", 1, frames(program, "qsort"+libc, "C.f")},
		{"", 1, frames("__GI___strdup"+libc, program, "qsort"+libc, "C.f")},
		{"", 1, frames("__vasprintf_internal"+libc, "C.f")},
		{"", 1, frames("__vasprintf_internal"+libc, "___asprintf_chk"+libc, "C.f")},
		{"", 1, frames("__vfscanf_internal"+libc, "__GI___isoc99_sscanf"+libc, "C.f")},
		{"", 1, frames("_IO_new_popen"+libc, "C.f")},
		{"", 1, frames("__fopen_internal"+libc, "C.f")},
		{"libc", 1, frames("malloc"+libc, "_IO_new_file_fopen"+libc, "__fopen_internal"+libc, "C.f")},
		{"buffers of stdio", 1, frames(libc, "_IO_doallocbuf"+libc, "getdelim"+libc, "C.f")},
		{"", 1, frames("_obstack_begin"+libc, "C.f")},
		{"", 1, frames("tsearch"+libc, "C.f")},
		{"character sets", 1, frames(libc, "__gconv_open"+libc, "iconv_open"+libc, "C.f")},
		{"", 1, frames("__gconv_open"+libc, "iconv_open"+libc, "C.f")},
		{"functions called at exit", exitListBytes, frames(libc, libc, program, "C.f")},
		{"", exitListBytes, frames(libc, program, "C.f")},
		{"", exitListBytes + 1, frames(libc, libc, program, "C.f")},
		// The program's own function of the same name.
		{"", 1, frames("setlocale"+program, "C.f", "x.TestX")},
	} {
		if got := keeper(&leak{stack: test.stack, bytes: test.bytes, blocks: 1}); got != test.want {
			t.Errorf("%v: %q, want %q", test.stack, got, test.want)
		}
	}
}

func TestWhatJumpsIntoLibcIsKnownByWhereItAllocates(t *testing.T) {
	mu.Lock()
	defer mu.Unlock()
	before := learnt
	defer func() { learnt = before }()
	at := func(offset uint64, inner int) *leak {
		stack := frames(append(slices.Repeat([]string{"@/lib/libc.so.6"}, inner+1), "C.f")...)
		stack[inner].Offset = offset
		return &leak{stack: stack, bytes: 1, blocks: 1}
	}
	learnt.handsOut, learnt.keeps = map[uint64]bool{0x10: true}, map[uint64]bool{0x20: true}
	for _, test := range []struct {
		offset uint64
		inner  int
		want   string
	}{{0x10, 0, ""}, {0x10, 1, ""}, {0x10, 5, ""}, {0x20, 0, "libc"}, {0x30, 0, "libc"}} {
		if got := keeper(at(test.offset, test.inner)); got != test.want {
			t.Errorf("%#x, %d frames above: %q, want %q", test.offset, test.inner, got, test.want)
		}
	}
	// Nothing could be learnt: what lies deep inside is libc's.
	learnt.handsOut, learnt.keeps = nil, nil
	for inner, want := range []string{"", "", "libc"} {
		if got := keeper(at(0x30, inner)); got != want {
			t.Errorf("nothing learnt, %d frames above: %q, want %q", inner, got, want)
		}
	}
}

func TestOwnersOfStacks(t *testing.T) {
	for want, stack := range map[string][]profiledata.Frame{
		"TestX":       frames("C.f", "example.com/a.b/x_test.TestX.func1.2", "runtime.goexit"),
		"TestSuite_Y": frames("C.f", "x.(*Suite).TestSuite_Y", "reflect.Value.Call"),
		"TestOuter":   frames("C.f", "x.TestInner", "x.TestOuter"),
		"Test":        frames("x.Test"),
		"":            frames("C.TestC", "x.Testify", "x.helper", "example.com/TestFolder/x.f"),
		"FuzzX":       frames("x.FuzzX.func1"),
	} {
		if got := testOf(stack); got != want {
			t.Errorf("%v: %q, want %q", stack, got, want)
		}
	}
}

func TestSidesOfLeaks(t *testing.T) {
	mine := leak{stack: frames("C.f", "x.TestMine"), bytes: 1, blocks: 1}
	other := leak{stack: frames("C.f", "x.TestOther"), bytes: 2, blocks: 1}
	ended := leak{stack: frames("C.f", "x.TestEnded"), bytes: 3, blocks: 1}
	nobody := leak{stack: frames("C.f", "x.worker"), bytes: 4, blocks: 1}
	all := []leak{mine, other, ended, nobody}
	for _, test := range []struct {
		name         string
		others       []string
		own, unclear []leak
	}{
		{"TestMine", nil, all, nil},
		{"TestMine", []string{"TestOther"}, []leak{mine, ended}, []leak{nobody}},
		{"TestMine/a", []string{"TestMine/b"}, []leak{other, ended}, []leak{mine, nobody}},
		{"TestMine", []string{"TestSuite/TestOther"}, []leak{mine, ended}, []leak{nobody}},
	} {
		own, unclear := sides(all, test.name, test.others)
		if !reflect.DeepEqual(own, test.own) || !reflect.DeepEqual(unclear, test.unclear) {
			t.Errorf("%s, %v: %v, %v", test.name, test.others, own, unclear)
		}
	}
}

func TestStacksThatLookAlikeAreOneLeak(t *testing.T) {
	got := sorted([]leak{
		{stack: frames("a"), bytes: 5, blocks: 1, ids: []uint32{1}},
		{stack: frames("b"), bytes: 9, blocks: 1, ids: []uint32{2}},
		{stack: frames("a"), bytes: 25, blocks: 2, ids: []uint32{3}},
	})
	want := []leak{
		{stack: frames("a"), bytes: 30, blocks: 3, ids: []uint32{1, 3}},
		{stack: frames("b"), bytes: 9, blocks: 1, ids: []uint32{2}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestFieldsOfPackageTesting(t *testing.T) {
	if !testFields.known || !timerFields.known {
		t.Errorf("this Go version keeps tests %v, timers %v in another way", testFields.known, timerFields.known)
	}
}

func TestUnfinishedTestsAreKnown(t *testing.T) {
	if others := othersUnfinished(t); len(others) != 0 {
		t.Errorf("%q, want none", others)
	}
	t.Run("group", func(t *testing.T) {
		release := make(chan bool)
		t.Run("one", func(t *testing.T) {
			t.Parallel()
			<-release
		})
		if others := othersUnfinished(t); !slices.Equal(others, []string{"TestUnfinishedTestsAreKnown/group/one"}) {
			t.Errorf("%q in the group", others)
		}
		t.Run("two", func(t *testing.T) {
			if others := othersUnfinished(t); !slices.Equal(others, []string{"TestUnfinishedTestsAreKnown/group/one"}) {
				t.Errorf("%q in a sequential test beside it", others)
			}
		})
		close(release)
	})
	if others := othersUnfinished(t); len(others) != 0 {
		t.Errorf("%q when all are done", others)
	}
	if others := othersUnfinished(&recorder{}); others != nil {
		t.Errorf("%q for something else", others)
	}
}

func TestLongReportsAreCut(t *testing.T) {
	var leaks []leak
	for i := range maxStacks + 3 {
		leaks = append(leaks, leak{stack: frames(slices.Repeat([]string{fmt.Sprint("x.f", i)}, maxFrames+2)...), bytes: 10, blocks: 2})
	}
	var b strings.Builder
	writeLeaks(&b, leaks)
	if !strings.HasSuffix(b.String(), "and 30 bytes in 6 blocks, allocated by 3 stacks more\n") ||
		strings.Count(b.String(), "        and 2 more\n") != maxStacks {
		t.Errorf("%s", b.String())
	}
}

func TestFramesAsTheyAreShown(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOMODCACHE", "/var/cache/modules/")
	for want, f := range map[string]profiledata.Frame{
		"f  example.com/n@v1.2.3/x.go:4": {Function: "f", File: "/var/cache/modules/example.com/n@v1.2.3/x.go", Line: 4},
		"f  x.c:3":                       {Function: "f", File: here + "/x.c", Line: 3},
		"f  ../../include/cgoheap.h:3":   {Function: "f", File: strings.TrimSuffix(here, "go/cgoheaptest") + "include/cgoheap.h", Line: 3},
		"f  example.com/m@v1.2.3/x.go:4": {Function: "f", File: "/root/go/pkg/mod/example.com/m@v1.2.3/x.go", Line: 4},
		"f  os/file.go:5":                {Function: "f", File: "/usr/local/go/src/os/file.go", Line: 5},
		"f  /elsewhere/x.c:6":            {Function: "f", File: "/elsewhere/x.c", Line: 6},
		"strdup  libc.so.6":              {Function: "strdup", Object: "/lib/libc.so.6"},
		"libz.so.1+0x10 (no symbols)":    {Object: "/lib/libz.so.1", Offset: 16, Address: 0x7f0000000010},
		"unknown code at 0x10":           {Address: 16},
		"[stack cut: something]":         {Function: "[stack cut: something]"},
		"C.CString  x.go:1":              {Function: "C.CString", File: here + "/x.go", Line: 1},
	} {
		if got := frameText(f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
