/* What decide.c asks of the C library: one file for each, glibc.c. It also defines cgoheap_backing, the table of the backing
   allocator (cgoheap_backing.h), in the place of the archive's weak one: the library's own functions, from the first call on. */
#ifndef CGOHEAP_LIBC_H
#define CGOHEAP_LIBC_H

#include "cgoheap_backing.h"

/* The library's own functions, which lead past every malloc of the program. Never changed. */
extern const struct cgoheap_backing_functions cgoheap_libc __attribute__((visibility("hidden")));

/* As dlsym, but for the version of `name`, one of malloc's family, that programs are linked with. To be called from the program
   itself. */
typedef void *cgoheap_look_up(void *scope, const char *name);
__attribute__((visibility("hidden"))) cgoheap_look_up cgoheap_look_up_version;

/* Whether `function`, the malloc that `find` has found, is the library's own; or that of an allocator which has the library's private
   names too, so that the table above leads to it already. To be called from the program itself. */
__attribute__((visibility("hidden"))) int cgoheap_is_libc_malloc(void *function, cgoheap_look_up *find);

#endif
