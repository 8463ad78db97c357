/*
 * What not every glibc since 2.17 has, under names of ours: the library's own where the program finds it, else what stands in for it.
 * In C, since Rust has no weak references.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

/* Since 2.35. See loaded_object.rs. */
struct dl_find_object { /* as glibc has it; not in older headers */
    unsigned long long flags;
    void *map_start, *map_end, *link_map, *eh_frame;
};
extern int _dl_find_object(void *address, struct dl_find_object *result) __attribute__((weak));
int cgoheap_internal_find_in_list(void *address, struct dl_find_object *result);
void cgoheap_internal_renew_list(void);

int cgoheap_internal_has_find_object(void) { return _dl_find_object != NULL; }

int cgoheap_internal_find_object(void *address, struct dl_find_object *result) {
    return _dl_find_object != NULL ? _dl_find_object(address, result) : cgoheap_internal_find_in_list(address, result);
}

/* What libgcc's unwinder in the archive calls by the name of _dl_find_object (scripts/build-archive.sh). It wants objects with unwind
   tables only. Not for hooks. */
int cgoheap_internal_find_for_libgcc(void *address, struct dl_find_object *result) {
    if (_dl_find_object != NULL)
        return _dl_find_object(address, result);
    cgoheap_internal_renew_list();
    return cgoheap_internal_find_in_list(address, result) != 0 || result->eh_frame == NULL ? -1 : 0;
}

/* Since 2.26. */
extern void *reallocarray(void *block, size_t count, size_t size) __attribute__((weak));

void *cgoheap_internal_reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (reallocarray != NULL)
        return reallocarray(block, count, size);
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}
