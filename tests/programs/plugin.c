/* A library with one function, built twice under names of the same length: the two are alike to the last byte of their
   layout, so that the loader puts the one where the other was. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"

#ifdef WRITABLE_TABLES
/* One input whose .eh_frame is writable, as clang's runtime library has it, makes that of the whole library so. */
__asm__(".pushsection .eh_frame,\"aw\",@progbits\n.popsection\n");
#endif

#ifndef ROOM
#define ROOM 200
#endif

#ifdef EXPORTED
void *NAME_LEAF(size_t size);
#else
static
#endif
#ifdef ELSEWHERE
/* Code in an executable segment of its own, as tools make that rewrite programs. */
__attribute__((section(".elsewhere")))
#endif
__attribute__((noinline)) void *NAME_LEAF(size_t size);

__attribute__((noinline)) void *NAME_LEAF(size_t size) {
    char room[ROOM]; /* of the stack: an unwind rule of its own */
    __asm__ volatile("" : : "r"(room) : "memory");
    void *block = cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

void *plugin(size_t size);
void *plugin(size_t size) {
    void *block = NAME_LEAF(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}
