//go:build linux && (amd64 || arm64) && cgo && !asan && !msan && cgoheap_wrap

/*
 * The linker's --wrap: every call of malloc in what is linked into the executable becomes one of __wrap_malloc. It works
 * over whatever allocator the program has, and does not see into shared libraries.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "cgoheap.h"
#include "cgoheap_backing.h"
#include "entries.h"

void *__real_malloc(size_t);
void __real_free(void *);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
/* Not in every glibc: nobody calls it there, so nobody notices that it isn't. */
void *__real_reallocarray(void *, size_t, size_t) __attribute__((weak));
int __real_posix_memalign(void **, size_t, size_t);
void *__real_aligned_alloc(size_t, size_t);
void *__real_memalign(size_t, size_t);
void *__real_valloc(size_t);
void *__real_pvalloc(size_t);
char *__real_strdup(const char *);
char *__real_strndup(const char *, size_t);
wchar_t *__real_wcsdup(const wchar_t *);

/* Each entry leads to the function that --wrap replaced until the program's constructors run. In a fully static program libc itself is
   wrapped too, and calls malloc while it sets up what unwinding needs (_dl_find_object). */
#define WRAP(name)                                                                                                     \
    extern char cgoheap_hook_##name[] __asm__("cgoheap_" #name);                                                       \
    __attribute__((used)) static void *target_##name = (void *)__real_##name;                                          \
    ENTRY("globl", "__wrap_", name);

/* libc's strdup, strndup and wcsdup would call malloc where --wrap doesn't reach. */
#define EACH(what)                                                                                                     \
    what(malloc) what(free) what(calloc) what(realloc) what(reallocarray) what(posix_memalign) what(aligned_alloc)     \
        what(memalign) what(valloc) what(pvalloc) what(strdup) what(strndup) what(wcsdup)
EACH(WRAP)

#define DEFINE_UNSAMPLED(name) __attribute__((used)) static void *unsampled_##name = (void *)__real_##name;
FAST(DEFINE_UNSAMPLED)

/* A static libc's own is made of a call of realloc, which would be seen too. */
static void *backing_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_realloc(block, bytes);
}

/* Takes the place of the archive's weak table: its malloc would lead back to us. */
struct cgoheap_backing_functions cgoheap_backing = {
    __real_malloc,        __real_free,     __real_calloc, __real_realloc, backing_reallocarray, __real_posix_memalign,
    __real_aligned_alloc, __real_memalign, __real_valloc, __real_pvalloc, malloc_usable_size,
};

/* 101 is the first that programs may use. */
__attribute__((constructor(101))) static void start(void) {
#define TO_HOOK(name) target_##name = cgoheap_hook_##name;
    EACH(TO_HOOK)
}

__attribute__((constructor)) static void report(void) { cgoheap_interpose_report(CGOHEAP_INTERPOSE_WRAP); }
