// Command rustlibrary holds a Rust library whose global allocator is CgoHeap, and looks for its blocks in its own profile: once
// each, also when the whole process is captured (-tags interpose).
package main

/*
#cgo LDFLAGS: -lthin
#include <stddef.h>
void thin_leak(size_t size);
void thin_leak_after_failure(size_t size);
unsigned thin_layouts(void);
*/
import "C"

import (
	"fmt"
	"os"
	"runtime/pprof"
	"strings"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

func leakInRust()       { C.thin_leak(777777) }
func leakAfterFailure() { C.thin_leak_after_failure(555555) }

func main() {
	cgoheap.SetRate(1)
	if line := C.thin_layouts(); line != 0 {
		fail("thin_layouts: line", line)
	}
	var before, after cgoheap.Stats
	cgoheap.ReadStats(&before)
	if line := C.thin_layouts(); line != 0 {
		fail("thin_layouts: line", line)
	}
	cgoheap.ReadStats(&after)
	if after.LiveBytes != before.LiveBytes {
		fail("blocks that were freed are live:", before.LiveBytes, after.LiveBytes)
	}
	leakInRust()
	leakAfterFailure()
	var text strings.Builder
	if err := pprof.Lookup("cgoheap").WriteTo(&text, 1); err != nil {
		fail(err)
	}
	for leak, want := range map[string][]string{
		"1: 777777 [1: 777777]": {"thin::remember", "thin_leak", "main.leakInRust"},
		"1: 555555 [1: 555555]": {"thin_leak_after_failure", "main.leakAfterFailure"},
	} {
		_, stack, found := strings.Cut(text.String(), leak)
		stack, _, _ = strings.Cut(stack, "\n\n")
		rest := stack
		for _, name := range want {
			_, rest, found = strings.Cut(rest, name)
			if !found {
				fail("no", name, "under", leak, "in\n"+text.String())
			}
		}
		for _, own := range []string{"CgoHeap", "__rust"} {
			if strings.Contains(stack, own) {
				fail("frames of the allocator are shown:\n" + stack)
			}
		}
		if strings.Count(text.String(), strings.Fields(leak)[1]+" ") != 1 {
			fail(leak, "counted twice:\n"+text.String())
		}
	}
	fmt.Println("link: Rust's blocks are shown, once each")
}

func fail(what ...any) {
	fmt.Fprintln(os.Stderr, what...)
	os.Exit(1)
}
