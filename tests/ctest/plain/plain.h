/* C functions that allocate, with the header included by hand. Sizes are in bytes; all may be called by any thread. */
#ifndef CGOHEAP_CTEST_PLAIN_H
#define CGOHEAP_CTEST_PLAIN_H

#include <stddef.h>

/* One block, from plain_inner, below plain_middle, which is inlined, below plain_outer. */
void *plain_outer(size_t size);

/* A block each, from the function itself. */
void *plain_block(size_t size);
void *plain_other_block(size_t size);
void *plain_moved(size_t size, size_t new_size); /* malloc, then realloc */
void plain_release(void *block);
void plain_churn(int rounds, size_t size); /* allocates and frees */

/* A thread that C makes, which allocates one block in its life and ends. Returns the block, or null. */
void *plain_from_own_thread(size_t size);

#endif
