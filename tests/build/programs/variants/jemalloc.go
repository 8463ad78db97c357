//go:build jemalloc

package main

/*
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
int mallctl(const char *name, void *old, size_t *old_length, void *new, size_t new_length);

// Bytes that jemalloc itself says it has handed out.
static uint64_t jemalloc_allocated(void) {
    uint64_t epoch = 1;
    size_t allocated = 0, length = sizeof epoch;
    mallctl("epoch", &epoch, &length, &epoch, length);
    length = sizeof allocated;
    return mallctl("stats.allocated", &allocated, &length, NULL, 0) == 0 ? allocated : 0;
}

// A block too large for its caches must show in its figures.
static int jemalloc_serves(void) {
    const size_t large = 64 << 20;
    uint64_t before = jemalloc_allocated();
    void *volatile block = malloc(large);
    int grown = jemalloc_allocated() >= before + large / 2;
    free(block);
    return grown;
}
*/
import "C"

func init() { jemallocServes = func() bool { return C.jemalloc_serves() != 0 } }
