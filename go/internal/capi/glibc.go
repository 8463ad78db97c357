//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <malloc.h>
#include <stddef.h>

#ifndef __GLIBC__
#error "cgoheap needs glibc 2.17 or later. With musl (Alpine) build with CGO_ENABLED=0, or import cgoheap in a file with a build tag: see docs/platforms.md"
#endif

// glibc has mallinfo2 since 2.33. Before that there is mallinfo alone, whose numbers have 32 bits: 5 GiB are 1 GiB there.
struct cgoheap_mallinfo2 {
	size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
extern struct cgoheap_mallinfo2 cgoheap_mallinfo2(void) __asm__("mallinfo2") __attribute__((weak));

struct cgoheap_glibc {
	unsigned long long arenas, mmapped, mmapped_chunks, used, free;
};

static int cgoheap_glibc_tells(void) { return cgoheap_mallinfo2 != NULL; }

static void cgoheap_glibc_read(struct cgoheap_glibc *out) {
	if (!cgoheap_glibc_tells())
		return;
	struct cgoheap_mallinfo2 m = cgoheap_mallinfo2();
	out->arenas = m.arena;
	out->mmapped = m.hblkhd;
	out->mmapped_chunks = m.hblks;
	out->used = m.uordblks;
	out->free = m.fordblks;
}

static int cgoheap_glibc_trim(void) { return malloc_trim(0); }

#cgo noescape cgoheap_glibc_tells
#cgo nocallback cgoheap_glibc_tells
#cgo noescape cgoheap_glibc_read
#cgo nocallback cgoheap_glibc_read
#cgo nocallback cgoheap_glibc_trim
*/
import "C"

// MallocTells says whether [ReadMalloc] has an answer: glibc's malloc has none before 2.33.
func MallocTells() bool { return C.cgoheap_glibc_tells() != 0 }

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
