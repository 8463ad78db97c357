/* A file that undefines one of cgoheap's macros and replaces another keeps it so after libc's headers. */
#include "cgoheap.h"
#undef malloc
#undef calloc
#define calloc(count, size) own_calloc((count) * (size))
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stub.h"

static char own[8];
static void *own_calloc(size_t size) { return size <= sizeof own ? own : NULL; }

struct allocator {
    void *(*malloc)(size_t n);
};

int main(void) {
    CHECK(calloc(2, 4) == own && calloc(2, 5) == NULL && stub_calls == 0);
    struct allocator a = {malloc};
    void *p = stub_keep(a.malloc(3)); EXPECT_PLAIN("malloc");
    p = realloc(p, 5); EXPECT_SITED("realloc", "main");
    free(p); EXPECT_PLAIN("free");
    return stub_failures != 0;
}
