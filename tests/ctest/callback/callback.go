//go:build linux && (amd64 || arm64) && cgo

// Package callback calls Go from C, for tests: Go, C, Go, C and then malloc.
package callback

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include

void callback_enter(int depth, unsigned long size);
void *callback_block(unsigned long size);
*/
import "C"

import (
	"unsafe"

	_ "github.com/cgoheap/cgoheap/go" // links the archive
)

// Hook runs in the callback, before it allocates; for tests.
var Hook = func() {}

var result unsafe.Pointer

// Through allocates a block in callback_block, below depth callbacks through C. Not for more than one goroutine at a time.
//
//go:noinline
func Through(depth, size int) unsafe.Pointer {
	C.callback_enter(C.int(depth), C.ulong(size))
	return result
}

//export callbackFromC
func callbackFromC(depth C.int, size C.ulong) {
	if depth > 1 {
		C.callback_enter(depth-1, size)
		return
	}
	Hook()
	result = allocate(int(size))
}

//go:noinline
func allocate(size int) unsafe.Pointer {
	return C.callback_block(C.ulong(size))
}
