//go:build linux && (amd64 || arm64) && cgo && !asan && !msan && !cgoheap_wrap

/* glibc, as the backing allocator of the malloc that decide.c defines. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <malloc.h>
#include <stddef.h>

#include "libc.h"

/* glibc's own, exported under these names since 2.0. There is no such form of the others: they are made of these. */
void *__libc_malloc(size_t size);
void __libc_free(void *block);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);

static void *glibc_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(block, bytes);
}

static int power_of_two(size_t value) { return value != 0 && (value & (value - 1)) == 0; }

/* As glibc: an alignment that is no power of two times the size of a pointer is refused, and errno stays as it was. Without
   memory the result is ENOMEM, and errno too, which POSIX leaves open. */
static int glibc_posix_memalign(void **out, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || !power_of_two(alignment / sizeof(void *)))
        return EINVAL;
    void *block = __libc_memalign(alignment, size);
    if (block == NULL)
        return ENOMEM;
    *out = block;
    return 0;
}

/* Whether this is glibc 2.38 or later. Not by sscanf, which may allocate, and which others interpose. */
static int since_2_38(void) {
    const char *version = gnu_get_libc_version();
    unsigned int number[2] = {0, 0};
    for (int part = 0; part < 2; part++) {
        for (; *version >= '0' && *version <= '9'; version++)
            number[part] = number[part] * 10 + (unsigned int)(*version - '0');
        version += *version == '.';
    }
    return number[0] > 2 || (number[0] == 2 && number[1] >= 38);
}

/* glibc takes any alignment, as memalign does, until 2.37; since 2.38 it wants a power of two, as C17 does. */
static void *glibc_aligned_alloc(size_t alignment, size_t size) {
    if (!power_of_two(alignment) && since_2_38()) {
        errno = EINVAL;
        return NULL;
    }
    return __libc_memalign(alignment, size);
}

#define GLIBC                                                                                                          \
    {                                                                                                                  \
        __libc_malloc, __libc_free, __libc_calloc, __libc_realloc, glibc_reallocarray, glibc_posix_memalign,           \
            glibc_aligned_alloc, __libc_memalign, __libc_valloc, __libc_pvalloc, malloc_usable_size                    \
    }

/* Takes the place of the archive's weak table. */
struct cgoheap_backing_functions cgoheap_backing = GLIBC;

const struct cgoheap_backing_functions cgoheap_libc = GLIBC;

/* A preloaded library may have functions of these versions and no default ones, which dlsym doesn't find: glibc's own
   libc_malloc_debug.so. (This in turn passes over those without any.) */
void *cgoheap_look_up_version(void *scope, const char *name) {
#ifdef __x86_64__
    const char *version = name[0] == 'a' ? "GLIBC_2.16" : "GLIBC_2.2.5"; /* aligned_alloc came with C11 */
#elif defined(__aarch64__)
    const char *version = "GLIBC_2.17"; /* glibc's first there */
#else
#error "the oldest version of malloc here: see the list of symbols of this processor's libc.so.6"
#endif
    return dlvsym(scope, name, version);
}

int cgoheap_is_libc_malloc(void *function, cgoheap_look_up *find) {
    return function == find(RTLD_NEXT, "__libc_malloc");
}
