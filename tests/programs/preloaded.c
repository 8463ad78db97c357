/* preloaded: the whole process is captured, over libc_malloc_debug.so, which is preloaded and by MALLOC_CHECK_ told to check. Its blocks
   are as large as was asked for, so it tells whether it is the one that allocates; and it ends a program that frees a block
   which isn't its own. */
#include "check.h"
#include <malloc.h>
#include <stdlib.h>

int main(void) {
    cgoheap_set_rate(1);
    for (size_t size = 1; size < 100; size += 6) {
        void *blocks[] = {malloc(size), calloc(1, size), realloc(NULL, size), aligned_alloc(64, size)};
        for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
            CHECK(malloc_usable_size(blocks[i]) == size, "%zu of %zu", malloc_usable_size(blocks[i]), size);
            free(blocks[i]);
        }
    }
    CHECK_NOTHING_LOST();
}
