// Command variants leaks C memory in many ways and checks what its own profile says, for TestVariants, which
// builds and runs it in many ways. It knows of cgoheap by the blank import only, but for the line that ReadStats gives.
package main

/*
#cgo LDFLAGS: -ldl -lpthread
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include "leaks.h"

extern void *volatile leaks_sink;

static void preamble_leak(int n, int size) {
    for (int i = 0; i < n; i++)
        leaks_sink = malloc(size);
}

// libc calls malloc for this.
static void libc_leak(int n, int size) {
    for (int i = 0; i < n; i++) {
        char *text;
        if (asprintf(&text, "%*d", size - 1, i) > 0)
            leaks_sink = text;
    }
}
*/
import "C"

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"

	"github.com/google/pprof/profile"

	cgoheap "github.com/cgoheap/cgoheap/go" // for ReadStats
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

// leak is one way to leak n blocks of a size; frames are functions on its stack, leaf first. The Go ones must be there in
// every build, the C ones where the program isn't stripped.
type leak struct {
	name    string
	n, size int
	do      func(n, size int)
	frames  []string
}

var leaks = []leak{
	{"cstring", 7, 1009, leakCString, []string{"C.CString", "main.leakCString"}},
	{"preamble", 5, 2003, leakPreamble, []string{"preamble_leak", "C.preamble_leak", "main.leakPreamble"}},
	{"cpp", 3, 3001, leakCPP, []string{"variants::Depot::keep(int)", "cpp_leak", "C.cpp_leak", "main.leakCPP"}},
	{"library", 4, 4001, leakLibrary, []string{"plugin_leak", "library_leak", "C.library_leak", "main.leakLibrary"}},
	{"callback", 2, 5003, leakCallback, []string{"inner_leak", "C.inner_leak", "main.goBack", "callback_leak", "C.callback_leak", "main.leakCallback"}},
	{"thread", 6, 6007, leakThread, []string{"thread_main"}},
	{"early", C.EARLY_BLOCKS, C.EARLY_SIZE, nil, []string{"early_leak"}},
	{"calloc", familyBlocks, C.FAMILY_CALLOC, leakFamily, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"realloc", familyBlocks, C.FAMILY_REALLOC, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"grown", familyBlocks, C.FAMILY_GROWN, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"reallocarray", familyBlocks, C.FAMILY_REALLOCARRAY, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"posix_memalign", familyBlocks, C.FAMILY_POSIX_MEMALIGN, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"aligned_alloc", familyBlocks, C.FAMILY_ALIGNED_ALLOC, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"memalign", familyBlocks, C.FAMILY_MEMALIGN, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"valloc", familyBlocks, C.FAMILY_VALLOC, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"pvalloc", familyBlocks, C.FAMILY_PVALLOC, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"strdup", familyBlocks, C.FAMILY_STRDUP, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"strndup", familyBlocks, C.FAMILY_STRNDUP, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"wcsdup", familyBlocks, C.FAMILY_WCSDUP, nil, []string{"family_leak", "C.family_leak", "main.leakFamily"}},
	{"libc", 3, 9001, leakLibc, []string{"libc_leak", "main.leakLibc"}},
}

// Of each of malloc's relatives.
const familyBlocks = 3

//go:noinline
func leakFamily(n, _ int) { C.family_leak(C.int(n)) }

//go:noinline
func leakCString(n, size int) {
	for range n {
		C.CString(strings.Repeat("x", size-1))
	}
}

//go:noinline
func leakPreamble(n, size int) { C.preamble_leak(C.int(n), C.int(size)) }

//go:noinline
func leakCPP(n, size int) { C.cpp_leak(C.int(n), C.int(size)) }

//go:noinline
func leakLibrary(n, size int) {
	file := C.CString(*plugin)
	defer C.free(unsafePointer(file))
	if C.library_leak(file, C.int(n), C.int(size)) != 0 {
		fmt.Printf("note: %s can't be opened\n", *plugin)
	}
}

//go:noinline
func leakCallback(n, size int) { C.callback_leak(C.int(n), C.int(size)) }

//go:noinline
func leakThread(n, size int) { C.thread_leak(C.int(n), C.int(size)) }

//go:noinline
func leakLibc(n, size int) { C.libc_leak(C.int(n), C.int(size)) }

// jemallocServes says whether malloc is jemalloc's, by its own word; nil without -tags jemalloc.
var jemallocServes func() bool

var (
	flags    = flag.NewFlagSet("variants", flag.ContinueOnError)
	state    = flags.Int("state", 1, "the cgoheap.Interpose expected")
	seen     = flags.String("seen", "all", "the leaks that must be in the profile, exactly; no other may be; all; none")
	unseen   = flags.String("unseen", "", "taken off -seen all")
	free     = flags.String("any", "", "neither seen nor unseen is asked of these")
	stripped = flags.Bool("stripped", false, "C functions have no names")
	plugin   = flags.String("plugin", "", "the shared library")
)

// checkAll does everything and prints what is wrong; true is well.
func checkAll(arguments []string) bool {
	if err := flags.Parse(arguments); err != nil {
		fmt.Println(err)
		return false
	}
	well := true
	complain := func(format string, arguments ...any) {
		fmt.Printf("wrong: "+format+"\n", arguments...)
		well = false
	}
	var churn sync.WaitGroup
	for i := range 8 {
		churn.Go(func() {
			if n := C.load(20000, C.uint(i)); n != 0 {
				complain("%d bad blocks", n)
			}
		})
	}
	churn.Wait()
	for _, l := range leaks {
		if l.do != nil {
			l.do(l.n, l.size)
		}
	}
	if jemallocServes != nil && !jemallocServes() {
		complain("jemalloc isn't the program's malloc")
	}

	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	fmt.Printf("stats: %v; %d samples, lost %+v\n", stats.Interpose, stats.Samples, stats.Lost)
	if int(stats.Interpose) != *state {
		complain("interpose is %d (%v), want %d", stats.Interpose, stats.Interpose, *state)
	}
	var buffer bytes.Buffer
	if err := pprof.Lookup("cgoheap").WriteTo(&buffer, 0); err != nil {
		complain("%v", err)
		return false
	}
	p, err := profile.ParseData(buffer.Bytes())
	if err != nil {
		complain("%v", err)
		return false
	}
	for _, l := range leaks {
		if listed(*free, l.name) {
			continue
		}
		want := *seen == "all" || listed(*seen, l.name)
		want = want && !listed(*unseen, l.name)
		checkLeak(p, l, want, complain)
	}
	checkFamily(p, complain)
	return well
}

func listed(list, name string) bool { return strings.Contains(","+list+",", ","+name+",") }

// checkLeak looks for the one stack that has these blocks. Blocks are known by their size.
func checkLeak(p *profile.Profile, l leak, want bool, complain func(string, ...any)) {
	blocks, bytes := int64(0), int64(0)
	var stacks [][]string
	for _, s := range p.Sample {
		if s.Value[2] > 0 && s.Value[3] == s.Value[2]*int64(l.size) {
			blocks, bytes = blocks+s.Value[2], bytes+s.Value[3]
			stacks = append(stacks, names(s))
		}
	}
	if !want {
		if blocks != 0 {
			complain("%s is in the profile: %d blocks, %v", l.name, blocks, stacks)
		}
		return
	}
	if blocks != int64(l.n) || l.n > 0 && len(stacks) != 1 {
		complain("%s: %d blocks of %d bytes in %d stacks, want %d in one: %v", l.name, blocks, l.size, len(stacks), l.n, stacks)
		return
	}
	if l.n == 0 {
		return
	}
	left := stacks[0]
	for _, frame := range l.frames {
		if *stripped && !strings.HasPrefix(frame, "main.") && !strings.HasPrefix(frame, "plugin_") {
			continue
		}
		for len(left) > 0 && left[0] != frame {
			left = left[1:]
		}
		if len(left) == 0 {
			complain("%s: no %s on %v", l.name, frame, stacks[0])
			return
		}
	}
}

// checkFamily looks for calls that were seen twice: an allocator's calloc may be made of its malloc. Of each relative of
// malloc the profile has one stack, and as many blocks allocated; and the small ones that realloc has moved.
func checkFamily(p *profile.Profile, complain func(string, ...any)) {
	found := map[int64]bool{}
	for _, s := range p.Sample {
		if !slices.Contains(names(s), "family_leak") {
			continue
		}
		size := s.Value[1] / max(s.Value[0], 1)
		known := size == 100 && s.Value[2] == 0 || slices.ContainsFunc(leaks, func(l leak) bool { return int64(l.size) == size })
		if !known || found[size] || s.Value[0] != familyBlocks {
			complain("family: %d blocks of %d bytes allocated, %d live: %v", s.Value[0], size, s.Value[2], names(s))
		}
		found[size] = true
	}
}

// names returns the functions of a sample, leaf first.
func names(s *profile.Sample) (names []string) {
	for _, location := range s.Location {
		if len(location.Line) == 0 {
			names = append(names, fmt.Sprintf("%#x", location.Address))
			if location.Mapping == nil || location.Mapping.File == "" {
				names = append(names, "(of no file)")
			}
		}
		for _, line := range location.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

func main() {
	if !checkAll(os.Args[1:]) {
		os.Exit(1)
	}
}
