/* Every redirected function, by name, by address and in odd places. INCLUDE_LATE: cgoheap.h after libc's headers. */
#define _GNU_SOURCE
#ifndef INCLUDE_LATE
#include "cgoheap.h"
#endif
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

/* Libraries do this in their headers, before anyone includes cgoheap.h. */
static inline void *early_alloc(size_t n) { return n ? malloc(n) : NULL; }
static inline void early_free(void *p) { free(p); }

void early_extern_free(void *p);
void early_extern_free(void *p) { free(p); }

#ifdef INCLUDE_LATE
#include "cgoheap.h"
#endif
#include "stub.h"

static int evaluated;
static size_t once(size_t n) {
    evaluated++;
    return n;
}

static int call_vasprintf(char **out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(out, format, arguments); EXPECT_SITED("vasprintf", "call_vasprintf");
    va_end(arguments);
    return length;
}

static void by_name(void) {
    void *p = malloc(once(7)); EXPECT_SITED("malloc", "by_name");
    p = realloc(p, once(11)); EXPECT_SITED("realloc", "by_name");
    p = reallocarray(p, once(2), once(13)); EXPECT_SITED("reallocarray", "by_name");
    CHECK(malloc_usable_size(p) >= 26); EXPECT_PLAIN("malloc_usable_size");
    free(p); EXPECT_PLAIN("free");
    p = calloc(once(3), once(5)); EXPECT_SITED("calloc", "by_name");
    free(p);
    p = strdup(once(1) ? "abc" : ""); EXPECT_SITED("strdup", "by_name");
    CHECK(strcmp((char *)p, "abc") == 0);
    free(p);
    p = strndup("abc", once(2)); EXPECT_SITED("strndup", "by_name");
    CHECK(strcmp((char *)p, "ab") == 0);
    free(p);
    p = wcsdup(once(1) ? L"abc" : L""); EXPECT_SITED("wcsdup", "by_name");
    CHECK(wcscmp((wchar_t *)p, L"abc") == 0);
    free(p);
    CHECK(posix_memalign(&p, once(64), once(17)) == 0); EXPECT_SITED("posix_memalign", "by_name");
    free(p);
    p = aligned_alloc(once(64), once(128)); EXPECT_SITED("aligned_alloc", "by_name");
    free(p);
    p = memalign(once(32), once(19)); EXPECT_SITED("memalign", "by_name");
    free(p);
    p = valloc(once(23)); EXPECT_SITED("valloc", "by_name");
    free(p);
    char *text;
    CHECK(asprintf(&text, "%d", (int)once(42)) == 2); EXPECT_SITED("asprintf", "by_name");
    CHECK(strcmp(text, "42") == 0);
    free(text);
    CHECK(asprintf(&text, "plain") == 5); EXPECT_SITED("asprintf", "by_name");
    free(text);
    CHECK(call_vasprintf(&text, "%s", "abc") == 3);
    free(text);
    CHECK(evaluated == 17);
}

static void in_expressions(void) {
    char *p = strcpy((char *)malloc(strlen("abc") + 1), "abc"); EXPECT_SITED("malloc", "in_expressions");
    int calls = stub_calls;
    char *q = strdup(strcat((char *)realloc(strdup(p), 9), "de")); EXPECT_SITED("strdup", "in_expressions");
    CHECK(stub_calls == calls + 3 && strcmp(q, "abcde") == 0); /* the block in the middle leaks, as written */
    free(p), p = NULL, free(q);
    if (!(p = (char *)malloc(1))) return; EXPECT_SITED("malloc", "in_expressions");
    *p = 0, free(p);
    char **table = (char **)malloc(2 * sizeof *table); EXPECT_SITED("malloc", "in_expressions");
    free(p = table ? (char *)calloc(1, 1) : NULL);
    free(table);
    CHECK(sizeof(malloc(1)) == sizeof(void *));
    p = (char *)malloc(
        once(
            5));
#ifdef __clang__ /* takes the last line of the call, gcc the first */
    stub_expect(__LINE__, "malloc_at", __FILE__, __LINE__ - 2, "in_expressions");
#else
    stub_expect(__LINE__, "malloc_at", __FILE__, __LINE__ - 6, "in_expressions");
#endif
    free(p);
}

struct allocator {
    void *(*malloc)(void *context, size_t n);
    void *(*realloc)(size_t n);
    void (*free)(void *p);
    void *(*plain)(size_t n);
};

static void *member_malloc(void *context, size_t n) { return *(size_t *)context += n, context; }
static void *member_realloc(size_t n) { return (malloc)(n); }

static void in_structs(void) {
    struct allocator a = {member_malloc, member_realloc, free, malloc};
    struct allocator *pa = &a;
    size_t total = 1;
    CHECK(a.malloc(&total, 2) == &total && pa->malloc(&total, 4) == &total && total == 7);
    void *p = stub_keep(pa->realloc(3)); EXPECT_PLAIN("malloc");
    a.free(p); EXPECT_PLAIN("free");
    p = stub_keep(a.plain(3)); EXPECT_PLAIN("malloc");
    pa->free(p); EXPECT_PLAIN("free");
    void *(*volatile by_address)(size_t, size_t) = &calloc;
    p = by_address(1, 2); EXPECT_PLAIN("calloc");
    early_free(p); EXPECT_PLAIN("free");
    p = stub_keep(early_alloc(3));
#ifdef INCLUDE_LATE
    EXPECT_PLAIN("malloc");
#else
    CHECK(strcmp(stub_last.hook, "malloc_at") == 0 && strcmp(stub_last.func, "early_alloc") == 0);
#endif
    (free)(p); EXPECT_PLAIN("free");
    early_extern_free(malloc(3)); EXPECT_PLAIN("free");
}

int main(void) {
    by_name();
    in_expressions();
    in_structs();
    return stub_failures != 0;
}
