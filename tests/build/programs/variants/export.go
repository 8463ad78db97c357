package main

// A file of its own: the preamble of a file with exports is compiled twice.

// #include "leaks.h"
import "C"

import (
	"strings"
	"unsafe"
)

//export goBack
func goBack(n, size C.int) {
	for range n {
		C.inner_leak(size)
	}
}

// check is what a C program calls that has this one as a library.
//
//export check
func check(arguments *C.char) C.int {
	if checkAll(strings.Fields(C.GoString(arguments))) {
		return 0
	}
	return 1
}

func unsafePointer(text *C.char) unsafe.Pointer { return unsafe.Pointer(text) }
