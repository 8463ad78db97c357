/* realloc: grown, shrunk, moved, failed, freed; by hook and by libc. Live once, always. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static volatile size_t huge = (size_t)PTRDIFF_MAX, zero = 0;

int main(void) {
    cgoheap_set_rate(1);
    CHECK_CHANGE(0, 0, 0, 0);

    char *block = cgoheap_malloc(11);
    CHECK_CHANGE(1, 11, 1, 11);
    block = cgoheap_realloc(block, 13); /* in place: the same chunk */
    CHECK_CHANGE(1, 13, 0, 2);
    void *fence = malloc(1); /* behind it, so that growth moves the block */
    uintptr_t before = (uintptr_t)block;
    strcpy(block, "kept");
    block = cgoheap_realloc(block, 100003);
    CHECK((uintptr_t)block != before && strcmp(block, "kept") == 0);
    CHECK_CHANGE(1, 100003, 0, 100003 - 13);
    block = cgoheap_reallocarray(block, 7, 101);
    CHECK_CHANGE(1, 707, 0, 707 - 100003);

    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(cgoheap_realloc(block, huge) == NULL && errno == ENOMEM);
        CHECK_CHANGE(0, 0, 0, 0);
        CHECK(cgoheap_reallocarray(block, huge, 16) == NULL && errno == ENOMEM);
        CHECK_CHANGE(0, 0, 0, 0);
        CHECK(strcmp(block, "kept") == 0);
    }
    const struct check_stack *stack = check_stack_of(check_profile(), 707);
    CHECK(stack->inuse_objects == 1 && stack->alloc_objects == 1);

    CHECK(cgoheap_realloc(block, zero) == NULL);
    CHECK_CHANGE(0, 0, -1, -707);
    block = cgoheap_malloc(17);
    CHECK(cgoheap_reallocarray(block, zero, 5) == NULL);
    CHECK_CHANGE(1, 17, 0, 0);

    /* A block that no hook has seen, reallocated by one, is seen from then on. */
    block = cgoheap_realloc(malloc(19), 23);
    CHECK_CHANGE(1, 23, 1, 23);
    cgoheap_free(block);
    CHECK_CHANGE(0, 0, -1, -23);

    /* With sampling off, what was sampled before still goes. */
    block = cgoheap_malloc(29);
    CHECK_CHANGE(1, 29, 1, 29);
    cgoheap_set_rate(0);
    block = cgoheap_realloc(block, 31);
    CHECK_CHANGE(0, 0, -1, -29);
    cgoheap_free(block);
    CHECK_CHANGE(0, 0, 0, 0);

    /* Many at once, moved many times. */
    cgoheap_set_rate(1);
    enum { N = 20000 };
    static char *blocks[N];
    long long live = 0, allocated = 0, count = 0;
    for (size_t round = 1; round <= 3; round++)
        for (size_t i = 0; i < N; i++) {
            size_t size = 1 + (i * 37 * round) % 700;
            live += (long long)size - (round > 1 ? (long long)(1 + (i * 37 * (round - 1)) % 700) : 0);
            allocated += (long long)size;
            count++;
            blocks[i] = cgoheap_realloc(blocks[i], size);
        }
    CHECK_CHANGE(count, allocated, N, live);
    for (size_t i = 0; i < N; i++) cgoheap_free(blocks[i]);
    CHECK_CHANGE(0, 0, -N, -live);
    free(fence);
}
