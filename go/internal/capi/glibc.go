//go:build linux && amd64 && cgo

package capi

/*
#include <malloc.h>

#ifndef __GLIBC__
#error "cgoheap needs glibc 2.35 or later. With musl (Alpine) build with CGO_ENABLED=0, or import cgoheap in a file with a build tag: see docs/platforms.md"
#elif !__GLIBC_PREREQ(2, 33)
#error "cgoheap needs glibc 2.35 or later, and this one is older: see docs/platforms.md"
#endif

// glibc 2.33 has mallinfo2; the oldest that cgoheap knows is 2.35.
struct cgoheap_glibc {
	unsigned long long arenas, mmapped, mmapped_chunks, used, free;
};

static void cgoheap_glibc_read(struct cgoheap_glibc *out) {
	struct mallinfo2 m = mallinfo2();
	out->arenas = m.arena;
	out->mmapped = m.hblkhd;
	out->mmapped_chunks = m.hblks;
	out->used = m.uordblks;
	out->free = m.fordblks;
}

static int cgoheap_glibc_trim(void) { return malloc_trim(0); }

#cgo noescape cgoheap_glibc_read
#cgo nocallback cgoheap_glibc_read
#cgo nocallback cgoheap_glibc_trim
*/
import "C"

// ReadMalloc asks glibc's malloc. It holds the lock of one arena at a time while it walks over what is free in it.
func ReadMalloc() Malloc {
	var m C.struct_cgoheap_glibc
	C.cgoheap_glibc_read(&m)
	return Malloc{
		Arenas: uint64(m.arenas), Used: uint64(m.used), Free: uint64(m.free),
		Mmapped: uint64(m.mmapped), MmappedChunks: uint64(m.mmapped_chunks),
	}
}

// Trim has glibc give free memory back to the system; it says whether there was any.
func Trim() (bool, error) {
	return C.cgoheap_glibc_trim() != 0, nil
}
