// Command program leaks 1,000 bytes in each of three ways and checks that its own profile says so. As a c-archive or
// c-shared library the C program calls Check.
package main

/*
#cgo CPPFLAGS: -I${SRCDIR}/../../../../../include -include cgoheap.h
#include <stdlib.h>
void *link_leak(size_t size);
*/
import "C"

import (
	"fmt"
	"os"
	"runtime/pprof"
	"strings"

	"example.com/other"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

// The leaks, by the function that a profile shows them under, and the Go function that called it. (-flto may give the C
// function another name by inlining it; then the header's place still has the true one.)
var leaks = [][2]string{
	{"C.CString", "main.leakString"},
	{"link_leak", "main.leakOwn"},
	{"other_leak", "example.com/other.Leak"},
}

// checkInterpose is set in a c-shared library that imports interpose.
var checkInterpose func() bool

func leakString() { C.CString(strings.Repeat("x", 999)) }
func leakOwn()    { C.link_leak(1000) }

//export Check
func Check() C.int {
	cgoheap.SetRate(1)
	leakString()
	leakOwn()
	other.Leak(1000)
	var text strings.Builder
	if err := pprof.Lookup("cgoheap").WriteTo(&text, 1); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	if stats.GoFramesProblem != "" || !stats.GoFrames {
		fmt.Fprintf(os.Stderr, "Go frames: %v, %q\n", stats.GoFrames, stats.GoFramesProblem)
		return 1
	}
	for _, leak := range leaks {
		if !shown(text.String(), leak) {
			fmt.Fprintf(os.Stderr, "no stack with %s\n%s", leak, text.String())
			return 1
		}
	}
	if checkInterpose != nil && !checkInterpose() {
		return 1
	}
	fmt.Println("link: all three leaks are shown")
	return 0
}

// shown says whether a stack of 1,000 bytes has both functions, the Go one further out.
func shown(text string, leak [2]string) bool {
	for _, stack := range strings.Split(text, "\n\n") {
		for _, one := range strings.Split(stack, "\n1: 1000 ") {
			c, rest, found := strings.Cut(one, leak[0])
			if found && strings.Contains(rest, leak[1]) && !strings.Contains(c, leak[1]) {
				return true
			}
		}
	}
	return false
}

func main() { os.Exit(int(Check())) }
