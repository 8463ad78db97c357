/* Nothing is redirected, by CGOHEAP_NO_REDIRECT or (WITHOUT_HEADER) because only the folder is on the search path. */
#ifndef _GNU_SOURCE /* g++ defines it by itself */
#define _GNU_SOURCE
#endif
#ifndef WITHOUT_HEADER
#define CGOHEAP_NO_REDIRECT
#include "cgoheap.h"
#endif
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "stub.h"

#pragma GCC diagnostic ignored "-Wredundant-decls"
#ifndef __cplusplus
void *malloc(size_t size); /* as some programs repeat it */
#endif

struct allocator {
    void *(*malloc)(size_t n);
    void (*free)(void *p);
};

int main(void) {
    struct allocator a = {malloc, free};
    a.free(stub_keep(a.malloc(3)));
    free(stub_keep(realloc(stub_keep(malloc(3)), 5)));
    char *text = NULL;
    CHECK(asprintf(&text, "%d", 42) == 2);
    free(text);
    CHECK(stub_calls == 0);
#ifndef WITHOUT_HEADER
    void *p = cgoheap_malloc(3); EXPECT_PLAIN("malloc");
    p = cgoheap_realloc(p, 5); EXPECT_PLAIN("realloc");
    cgoheap_free(p); EXPECT_PLAIN("free");
    CHECK(cgoheap_asprintf(&text, "%d", 43) == 2 && text[1] == '3'); EXPECT_PLAIN("asprintf");
    cgoheap_free(text);
    p = cgoheap_malloc_at(3, __FILE__, __LINE__, "main"); EXPECT_SITED("malloc", "main");
    cgoheap_free(p);
#endif
    return stub_failures != 0;
}
