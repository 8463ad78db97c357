//go:build linux && amd64 && cgo && !asan && !msan && !cgoheap_wrap

/*
 * malloc and its relatives for the whole process, over glibc's own.
 *
 * The definitions are weak: a program that links another allocator statically (or a static libc) gets that one, instead
 * of a link error. Then we must keep out of the way entirely, also as the allocator beneath the header's hooks: memory of
 * glibc's malloc must not be handed to another allocator's free. So before any other constructor of the program runs the
 * addresses of the family are compared with our own, and the table of real functions is chosen:
 *
 *     all ours     glibc's own functions, beneath malloc. From the very first allocation, the dynamic loader's, on.
 *     none ours    the program's malloc, whatever it is.
 *     some ours    the same, and sampling is off: one side's blocks would be freed on the other.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cgoheap.h"
#include "cgoheap_real.h"
#include "entries.h"

#define INTERPOSE(name) ENTRY("weak", "", name)

INTERPOSE(malloc);
INTERPOSE(free);
INTERPOSE(calloc);
INTERPOSE(realloc);
INTERPOSE(reallocarray);
INTERPOSE(posix_memalign);
INTERPOSE(aligned_alloc);
INTERPOSE(memalign);
INTERPOSE(valloc);
INTERPOSE(pvalloc);

/* glibc's own, exported under these names since 2.0. There is no such form of the others: they are made of these. */
void *__libc_malloc(size_t size);
void __libc_free(void *block);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);

static void *beneath_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(block, bytes);
}

static int power_of_two(size_t value) { return value != 0 && (value & (value - 1)) == 0; }

/* As glibc: an alignment that is no power of two times the size of a pointer is refused, errno stays as it was. */
static int beneath_posix_memalign(void **out, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || !power_of_two(alignment / sizeof(void *)))
        return EINVAL;
    int saved = errno;
    void *block = __libc_memalign(alignment, size);
    errno = saved;
    if (block == NULL)
        return ENOMEM;
    *out = block;
    return 0;
}

/* glibc takes any alignment, as memalign does, until 2.37; since 2.38 it wants a power of two, as C17 does. */
static void *beneath_aligned_alloc(size_t alignment, size_t size) {
    unsigned int major = 2, minor = 0;
    if (!power_of_two(alignment) && sscanf(gnu_get_libc_version(), "%u.%u", &major, &minor) == 2 &&
        (major > 2 || minor >= 38)) {
        errno = EINVAL;
        return NULL;
    }
    return __libc_memalign(alignment, size);
}

/* Takes the place of the archive's weak table. */
struct cgoheap_real_functions cgoheap_real = {
    __libc_malloc,         __libc_free,           __libc_calloc,   __libc_realloc, beneath_reallocarray,
    beneath_posix_memalign, beneath_aligned_alloc, __libc_memalign, __libc_valloc,  __libc_pvalloc,
    malloc_usable_size,
};

/* When malloc is not ours, reallocarray may all the same be: it must then use the program's realloc. */
static void *program_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

static int count_ours(int *of) {
    /* Compared as numbers through volatile, since the compiler believes that two functions are never the same. */
#define OURS(name) ({                                                                                                  \
    extern char own_##name[];                                                                                          \
    *of += 1;                                                                                                          \
    volatile uintptr_t program = (uintptr_t)&name, own = (uintptr_t)own_##name;                                        \
    program == own;                                                                                                    \
})
    return OURS(malloc) + OURS(free) + OURS(calloc) + OURS(realloc) + OURS(posix_memalign) + OURS(aligned_alloc) +
           OURS(memalign);
}

static int state = CGOHEAP_INTERPOSE_WHOLE;

static void choose(void) {
    int of = 0, ours = count_ours(&of);
    if (ours == of)
        return;
    if (ours != 0) { /* those that are ours stay what they were: the hooks, over glibc's own */
        state = CGOHEAP_INTERPOSE_PARTLY;
        return;
    }
    state = CGOHEAP_INTERPOSE_ASIDE;
    struct cgoheap_real_functions program = {
        malloc,         free,          calloc,   realloc,       program_reallocarray,
        posix_memalign, aligned_alloc, memalign, __libc_valloc, __libc_pvalloc,
        malloc_usable_size,
    };
    cgoheap_real = program;
}

/* Before all other constructors of the executable (101 is the first that programs may use). */
__attribute__((constructor(101))) static void choose_first(void) { choose(); }

/* With the other constructors: report, once libc is up. Do shared libraries see our malloc too? They do if a look-up from
   the start of the global scope finds it, as theirs begin there. */
__attribute__((constructor)) static void report(void) {
    if (state == CGOHEAP_INTERPOSE_WHOLE && dlsym(RTLD_DEFAULT, "malloc") != (void *)&malloc)
        state = CGOHEAP_INTERPOSE_NOT_LIBS;
    cgoheap_interpose_report(state);
}
