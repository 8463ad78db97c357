/* What decide.c asks of the C library: one file for each, glibc.c. It also defines cgoheap_backing, the table of the backing
   allocator (cgoheap_backing.h), in the place of the archive's weak one: the library's own functions, from the first call on. */
#ifndef CGOHEAP_LIBC_H
#define CGOHEAP_LIBC_H

#include "cgoheap_backing.h"

/* The library's own functions, which lead past every malloc of the program. Never changed. */
extern const struct cgoheap_backing_functions cgoheap_libc __attribute__((visibility("hidden")));

/* Whether `function`, a malloc, is the library's own. To be called from the program itself. */
__attribute__((visibility("hidden"))) int cgoheap_is_libc_malloc(void *function);

#endif
