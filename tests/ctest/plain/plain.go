//go:build linux && (amd64 || arm64) && cgo

// Package plain allocates C memory for tests, with cgoheap.h included by hand, in the preamble and in a .c file.
package plain

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include

#include "cgoheap.h"
#include <stdlib.h>
#include "plain.h"

static inline void *plain_in_preamble(size_t size) { return malloc(size); }
*/
import "C"

import (
	"unsafe"

	_ "github.com/cgoheap/cgoheap/go" // links the archive
)

// Block is a block of C memory.
type Block = unsafe.Pointer

// Chain calls plain_outer through an inlined function. It isn't inlined itself.
//
//go:noinline
func Chain(size int) Block {
	return chainInlined(size)
}

func chainInlined(size int) Block {
	return C.plain_outer(C.size_t(size))
}

// One allocates a block in plain_block.
//
//go:noinline
func One(size int) Block { return C.plain_block(C.size_t(size)) }

// Other allocates a block by calloc in plain_other_block.
//
//go:noinline
func Other(size int) Block { return C.plain_other_block(C.size_t(size)) }

// Moved allocates size bytes and makes them newSize in plain_moved.
//
//go:noinline
func Moved(size, newSize int) Block {
	return C.plain_moved(C.size_t(size), C.size_t(newSize))
}

// InPreamble allocates in a C function of this file's preamble.
//
//go:noinline
func InPreamble(size int) Block { return C.plain_in_preamble(C.size_t(size)) }

// FromOwnThread allocates in a thread that C makes for it.
//
//go:noinline
func FromOwnThread(size int) Block { return C.plain_from_own_thread(C.size_t(size)) }

// Release frees a block in C.
func Release(b Block) { C.plain_release(b) }

// Churn allocates and frees blocks of the given size.
func Churn(rounds, size int) { C.plain_churn(C.int(rounds), C.size_t(size)) }

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
