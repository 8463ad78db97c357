/*
 * The allocator beneath the hooks, as a table that the archive defines weakly (plain malloc and its relatives, whatever
 * allocator the program has) and the whole-process door replaces (glibc's own, beneath the program's malloc). Not for
 * users: shared by src/hook/real.c and go/interpose.
 */
#ifndef CGOHEAP_REAL_H
#define CGOHEAP_REAL_H

#include <stddef.h>

/* The same as `Real` in src/hook/real.rs. */
struct cgoheap_real_functions {
    void *(*malloc)(size_t);
    void (*free)(void *);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    size_t (*malloc_usable_size)(void *);
};

/* Hidden: the hooks reach it without a detour, in a shared library too. */
extern struct cgoheap_real_functions cgoheap_real __attribute__((visibility("hidden")));

/* Whether the whole-process door is in the program, and whether it works; told once, before main. */
enum cgoheap_interpose_state {
    CGOHEAP_INTERPOSE_ABSENT = 0,  /* not linked */
    CGOHEAP_INTERPOSE_WHOLE = 1,   /* every malloc of the process comes to us */
    CGOHEAP_INTERPOSE_WRAP = 2,    /* the linker's --wrap: what is linked statically comes to us */
    CGOHEAP_INTERPOSE_ASIDE = 3,   /* the program has another allocator: it keeps it, we see the header door only */
    CGOHEAP_INTERPOSE_PARTLY = 4,  /* another allocator has replaced some of the functions: sampling is off */
    CGOHEAP_INTERPOSE_NOT_LIBS = 5 /* the program's own code comes to us, its shared libraries go elsewhere */
};
void cgoheap_interpose_report(int state);

#endif
