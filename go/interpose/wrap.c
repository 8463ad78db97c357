//go:build linux && amd64 && cgo && !asan && !msan && cgoheap_wrap

/*
 * The linker's --wrap: every call of malloc in what is linked into the executable becomes one of __wrap_malloc. It works
 * over whatever allocator the program has, and does not see into shared libraries.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>

#include "cgoheap.h"
#include "cgoheap_real.h"
#include "entries.h"

#define WRAP(name) ENTRY("globl", "__wrap_", name)

WRAP(malloc);
WRAP(free);
WRAP(calloc);
WRAP(realloc);
WRAP(reallocarray);
WRAP(posix_memalign);
WRAP(aligned_alloc);
WRAP(memalign);
WRAP(valloc);
WRAP(pvalloc);
WRAP(strdup); /* libc's strdup would call malloc where --wrap doesn't reach */
WRAP(strndup);

void *__real_malloc(size_t);
void __real_free(void *);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_reallocarray(void *, size_t, size_t);
int __real_posix_memalign(void **, size_t, size_t);
void *__real_aligned_alloc(size_t, size_t);
void *__real_memalign(size_t, size_t);
void *__real_valloc(size_t);
void *__real_pvalloc(size_t);

/* Takes the place of the archive's weak table: its malloc would lead back to us. */
struct cgoheap_real_functions cgoheap_real = {
    __real_malloc,        __real_free,     __real_calloc, __real_realloc, __real_reallocarray, __real_posix_memalign,
    __real_aligned_alloc, __real_memalign, __real_valloc, __real_pvalloc, malloc_usable_size,
};

__attribute__((constructor)) static void report(void) { cgoheap_interpose_report(CGOHEAP_INTERPOSE_WRAP); }
