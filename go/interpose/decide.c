//go:build linux && (amd64 || arm64) && cgo && !asan && !msan && !cgoheap_wrap

/*
 * malloc and its relatives for the whole process, over the program's own allocator.
 *
 * The definitions are weak: a program that links another allocator statically (or a static libc) gets that one, instead
 * of a link error. Whose malloc the program got, and which allocator is the backing one, is decided once, at the very first
 * call of any of our functions (the dynamic loader makes it, or a constructor), before there is a block that the wrong side
 * could free:
 *
 *     malloc is ours              the backing allocator is what the program would have without us: the C library's own
 *                                 functions (glibc.c), or those of an allocator that is a shared library (linked, or
 *                                 LD_PRELOAD)
 *     malloc is another's         we keep out: what is ours all the same (a static libc's calloc is weak too, and then
 *                                 the linker takes the first) leads to where it would lead without us, past the hooks
 *     malloc is ours, free not    (or the like) another allocator has part of the family only: sampling is off, since one
 *                                 side's blocks would be freed on the other
 *
 * In a shared library (-buildmode=c-shared) references to malloc are bound inside it, whatever the host program has. So
 * there, what the whole process calls malloc is looked up by name before the library's own code runs.
 *
 * Keeping out includes the header's hooks: their backing allocator is then the program's malloc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "cgoheap.h"
#include "entries.h"
#include "libc.h"

/* All functions that we define. */
#define EACH(what)                                                                                                     \
    what(malloc) what(free) what(calloc) what(realloc) what(reallocarray) what(posix_memalign) what(aligned_alloc)     \
        what(memalign) what(valloc) what(pvalloc)

/* An entry leads to target_NAME (or, unsampled, to unsampled_NAME). At first that is first_NAME, which decides, and makes
   the call anew: with the registers and the stack as they came. */
#define LOCAL __attribute__((visibility("hidden"))) /* else GNU ld 2.40 for arm64 gives labels that are not global one entry of the GOT */
#define DEFINE(name)                                                                                                   \
    extern char own_##name[] LOCAL, first_##name[] LOCAL, cgoheap_hook_##name[] __asm__("cgoheap_" #name);             \
    __attribute__((used)) static void *target_##name = first_##name;                                                   \
    ENTRY("weak", "", name);                                                                                           \
    FIRST(name);
EACH(DEFINE)

#define DEFINE_UNSAMPLED(name) __attribute__((used)) static void *unsampled_##name = first_##name;
FAST(DEFINE_UNSAMPLED)

/* For allocators that lack it. */
static void *backing_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return cgoheap_backing.realloc(block, bytes);
}
static void *backing_pvalloc(size_t size) {
    size_t mask = (size_t)getauxval(AT_PAGESZ) - 1;
    if (size > SIZE_MAX - mask) {
        errno = ENOMEM;
        return NULL;
    }
    return cgoheap_backing.memalign(mask + 1, (size + mask) & ~mask);
}

/* Compared as numbers through volatile, since the compiler believes that two functions are never the same. */
static int same(volatile uintptr_t a, volatile uintptr_t b) { return a == b; }
#define OURS(name) same((uintptr_t)&name, (uintptr_t)own_##name)

/* The object that we are in is the executable if the kernel was given its program headers. */
static int in_executable(void) {
    extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));
    return (uintptr_t)&__ehdr_start + __ehdr_start.e_phoff == getauxval(AT_PHDR);
}

/* The hooks get the calls, over cgoheap_backing: to be called again when that changes. */
static void to_the_hooks(void) {
#define TO_HOOK(name) target_##name = cgoheap_hook_##name;
    EACH(TO_HOOK)
#define TO_BACKING(name) unsampled_##name = (void *)cgoheap_backing.name;
    FAST(TO_BACKING)
}

static void past_the_hooks(const struct cgoheap_backing_functions *functions) {
#define TO_FUNCTION(name) target_##name = (void *)functions->name;
    EACH(TO_FUNCTION)
#define PAST(name) unsampled_##name = (void *)functions->name;
    FAST(PAST)
    cgoheap_entry_threshold = KEEP_OUT; /* what comes in here is not charged */
}

/* The functions that `scope` finds by dlsym, or by something like it. False, and nothing is changed, unless all are there. */
static int look_up(void *scope, cgoheap_look_up *find, struct cgoheap_backing_functions *found) {
#define LOOK_UP(name) *(void **)&found->name = find(scope, #name);
    EACH(LOOK_UP)
    LOOK_UP(malloc_usable_size)
    /* These two are seldom there in other allocators; then it is the C library's that are found. */
    found->reallocarray = backing_reallocarray;
    found->pvalloc = backing_pvalloc;
    return found->malloc && found->free && found->calloc && found->realloc && found->posix_memalign &&
           found->aligned_alloc && found->memalign && found->valloc && found->malloc_usable_size;
}

static int state = CGOHEAP_INTERPOSE_WHOLE;

/* See the top of this file. Runs once, before the process has a second thread, or in a library's first constructor. */
__attribute__((used, visibility("hidden"))) void cgoheap_interpose_decide(void) {
    static int decided;
    if (decided)
        return;
    decided = 1;
    int ours = OURS(malloc) + OURS(free) + OURS(realloc);
    if (ours == 0) {
        state = CGOHEAP_INTERPOSE_ASIDE;
        past_the_hooks(&cgoheap_libc);
        struct cgoheap_backing_functions program = {
            malloc,         free,          calloc,   realloc,             backing_reallocarray,
            posix_memalign, aligned_alloc, memalign, cgoheap_libc.valloc, cgoheap_libc.pvalloc,
            malloc_usable_size,
        };
        cgoheap_backing = program;
        return;
    }
    to_the_hooks(); /* before dlsym, should it ever allocate */
    if (ours != 3) {
        state = CGOHEAP_INTERPOSE_PARTLY;
        return;
    }
    if (!in_executable())
        return; /* to be continued in the constructor */
    /* A preloaded allocator, whose functions dlsym finds, or that has them only as versions like those of old programs' references. */
    cgoheap_look_up *const ways[] = {dlsym, cgoheap_look_up_version};
    for (int i = 0; i < 2; i++) {
        void *next = ways[i](RTLD_NEXT, "malloc");
        struct cgoheap_backing_functions others;
        if (next != NULL && !cgoheap_is_libc_malloc(next, ways[i]) && look_up(RTLD_NEXT, ways[i], &others)) {
            cgoheap_backing = others;
            to_the_hooks();
            return;
        }
    }
}

/* In a shared library: what does the process call malloc? */
static void decide_in_library(void) {
    void *process = dlopen(NULL, RTLD_LAZY | RTLD_NOLOAD);
    struct cgoheap_backing_functions global;
    if (process == NULL || !look_up(process, dlsym, &global) || same((uintptr_t)global.malloc, (uintptr_t)own_malloc))
        return;
    state = CGOHEAP_INTERPOSE_ASIDE;
    cgoheap_backing = global;
    past_the_hooks(&cgoheap_backing);
}

/* Before all other constructors of this object (101 is the first that programs may use). */
__attribute__((constructor(101))) static void decide_first(void) {
    cgoheap_interpose_decide();
    if (state == CGOHEAP_INTERPOSE_WHOLE && !in_executable())
        decide_in_library();
}

/* With the other constructors: report, once libc is up. Do shared libraries see our malloc too? They do if a look-up from
   the start of the global scope finds it, as theirs begin there. */
__attribute__((constructor)) static void report(void) {
    if (state == CGOHEAP_INTERPOSE_WHOLE && dlsym(RTLD_DEFAULT, "malloc") != (void *)&malloc)
        state = CGOHEAP_INTERPOSE_NOT_LIBS;
    cgoheap_interpose_report(state);
}
