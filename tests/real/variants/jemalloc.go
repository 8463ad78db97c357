//go:build jemalloc

package main

/*
#include <stddef.h>
#include <stdint.h>
int mallctl(const char *name, void *old, size_t *old_length, void *new, size_t new_length);

// Bytes that jemalloc itself says it has handed out.
static uint64_t jemalloc_allocated(void) {
    uint64_t epoch = 1;
    size_t allocated = 0, length = sizeof epoch;
    mallctl("epoch", &epoch, &length, &epoch, length);
    length = sizeof allocated;
    return mallctl("stats.allocated", &allocated, &length, NULL, 0) == 0 ? allocated : 0;
}
*/
import "C"

func init() { jemallocAllocated = func() uint64 { return uint64(C.jemalloc_allocated()) } }
