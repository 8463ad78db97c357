//go:build linux && (amd64 || arm64) && cgo

// Package forced allocates C memory for tests, with cgoheap.h included by the compiler's -include.
package forced

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include -include cgoheap.h

#include <stdlib.h>

static __attribute__((noinline)) void *forced_block(size_t size) { return malloc(size); }
*/
import "C"

import (
	"unsafe"

	_ "github.com/cgoheap/cgoheap/go" // links the archive
)

// Block is a block of C memory.
type Block = unsafe.Pointer

// One allocates a block in forced_block.
//
//go:noinline
func One(size int) Block { return C.forced_block(C.size_t(size)) }

// Malloc is C.malloc.
//
//go:noinline
func Malloc(size int) Block { return C.malloc(C.size_t(size)) }

// CString is C.CString.
//
//go:noinline
func CString(s string) Block { return Block(C.CString(s)) }

// CBytes is C.CBytes.
//
//go:noinline
func CBytes(b []byte) Block { return C.CBytes(b) }

// Free is C.free.
func Free(b Block) { C.free(b) }
