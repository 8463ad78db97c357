// Package cases allocates C memory, seen by the header: all its C code is compiled with cgoheap.h.
package cases

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include -include cgoheap.h
#include "cases.h"
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Buffer is C memory that its finalizer frees.
type Buffer struct{ p unsafe.Pointer }

// NewBuffer allocates n bytes.
func NewBuffer(n int) *Buffer {
	b := &Buffer{C.cases_buffer(C.size_t(n))}
	runtime.SetFinalizer(b, (*Buffer).Close)
	return b
}

// Close frees the memory.
func (b *Buffer) Close() {
	C.free(b.p)
	b.p = nil
	runtime.SetFinalizer(b, nil)
}

// Upper returns s in capitals. It forgets one of two strings that it allocates.
func Upper(s string) string {
	c := C.CString(s)
	upper := C.cases_upper(c)
	defer C.free(unsafe.Pointer(upper))
	return C.GoString(upper)
}

// Churn allocates and frees n blocks of one byte, and forgets those with these numbers.
func Churn(n, forget int) { C.cases_churn(C.long(n), C.long(forget)) }

// Balanced allocates and frees a block of n bytes, blocks times.
func Balanced(blocks, n int) { C.cases_balanced(C.long(blocks), C.size_t(n)) }

// pool keeps buffers on purpose.
var pool []unsafe.Pointer

// FromPool takes a buffer from the pool, which makes one when it is empty.
func FromPool() unsafe.Pointer {
	if len(pool) == 0 {
		pool = append(pool, C.cases_buffer(4096))
	}
	p := pool[0]
	pool = pool[1:]
	return p
}

// ToPool gives it back.
func ToPool(p unsafe.Pointer) { pool = append(pool, p) }

var kept unsafe.Pointer

// Keep allocates n bytes and remembers them, until Drop.
func Keep(n int) { kept = C.cases_buffer(C.size_t(n)) }

// Drop frees what Keep allocated.
func Drop() {
	C.free(kept)
	kept = nil
}

// Alloc allocates n bytes.
func Alloc(n int) unsafe.Pointer { return C.cases_buffer(C.size_t(n)) }

// Free frees them.
func Free(p unsafe.Pointer) { C.free(p) }

var table unsafe.Pointer

// Use allocates a table at its first call, which it keeps, as most libraries do.
func Use() {
	if table == nil {
		table = C.cases_buffer(32)
	}
	Balanced(1, 10)
}
