/*
 * The backing allocator, which the hooks call, as a table that the archive defines weakly (plain malloc and its relatives,
 * whatever allocator the program has) and go/interpose replaces (the C library's own, since the program's malloc is a hook
 * then). Not for users: shared by src/hook/backing.c and go/interpose.
 */
#ifndef CGOHEAP_BACKING_H
#define CGOHEAP_BACKING_H

#include <stddef.h>

/* The same as `Backing` in src/hook/backing.rs. */
struct cgoheap_backing_functions {
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
extern struct cgoheap_backing_functions cgoheap_backing __attribute__((visibility("hidden")));

/* What of the process go/interpose captures; told once, before main. */
enum cgoheap_interpose_state {
    CGOHEAP_INTERPOSE_ABSENT = 0,  /* not linked */
    CGOHEAP_INTERPOSE_WHOLE = 1,   /* every malloc of the process comes to us */
    CGOHEAP_INTERPOSE_WRAP = 2,    /* the linker's --wrap: what is linked statically comes to us */
    CGOHEAP_INTERPOSE_ASIDE = 3,   /* the program has another allocator: it keeps it; captured are the header and Rust code alone */
    CGOHEAP_INTERPOSE_PARTLY = 4,  /* another allocator has replaced some of the functions: sampling is off */
    CGOHEAP_INTERPOSE_NOT_LIBS = 5 /* the program's own code comes to us, its shared libraries go elsewhere */
};
void cgoheap_interpose_report(int state);

#endif
