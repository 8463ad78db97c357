/*
 * The backing allocator, unless go/interpose is linked: what the program calls malloc. Weak, so that go/interpose can put its
 * own table here at link time: then every way of capture calls the C library's malloc from the first instruction on, and
 * nothing is counted twice.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>

#include "cgoheap_backing.h"

/* The program's reallocarray, or one made of its realloc, where the C library is older than the function: src/sys/libc. */
void *cgoheap_internal_reallocarray(void *block, size_t count, size_t size);

__attribute__((weak)) struct cgoheap_backing_functions cgoheap_backing = {
    malloc,        free,     calloc, realloc, cgoheap_internal_reallocarray, posix_memalign,
    aligned_alloc, memalign, valloc, pvalloc, malloc_usable_size,
};
