/* Whatever the plain function answers, with whatever errno, the hook answers too. Compiled with -fno-builtin, so that the
   compiler doesn't answer for the plain one. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct result {
    int is_null, code, error;
};

/* errno before is something that nobody sets. */
#define POINTER(call) ({ errno = 7777; void *pointer_ = (call); int error_ = errno; if (pointer_) free(pointer_); \
                         (struct result){!pointer_, 0, error_}; })
#define CODE(call) ({ errno = 7777; int code_ = (call); (struct result){0, code_, errno}; })

static void same(int line, struct result plain, struct result hooked) {
    CHECK(memcmp(&plain, &hooked, sizeof plain) == 0, "line %d: null %d code %d errno %d, hooked %d %d %d", line,
          plain.is_null, plain.code, plain.error, hooked.is_null, hooked.code, hooked.error);
}
/* `name` with these arguments, plain and both hooked ways; pointers are freed by plain free. */
#define SAME(kind, name, ...)                                                                                          \
    do {                                                                                                               \
        struct result plain_ = kind(name(__VA_ARGS__));                                                                \
        same(__LINE__, plain_, kind(cgoheap_##name(__VA_ARGS__)));                                                     \
        same(__LINE__, plain_, kind(cgoheap_##name##_at(__VA_ARGS__, __FILE__, __LINE__, __func__)));                  \
    } while (0)

static void all(void) {
    static volatile size_t huge = (size_t)PTRDIFF_MAX, half = (size_t)1 << 63, largest = SIZE_MAX, zero = 0;
    void *out = &out;
    SAME(POINTER, malloc, huge);
    SAME(POINTER, malloc, largest);
    SAME(POINTER, malloc, zero);
    SAME(POINTER, malloc, 13);
    SAME(POINTER, calloc, half, 2);
    SAME(POINTER, calloc, largest, largest);
    SAME(POINTER, calloc, zero, 5);
    SAME(POINTER, calloc, 5, zero);
    SAME(POINTER, realloc, NULL, huge);
    SAME(POINTER, realloc, NULL, zero);
    SAME(POINTER, reallocarray, NULL, half, 2);
    SAME(POINTER, reallocarray, NULL, zero, 2);
    SAME(POINTER, strdup, "");
    SAME(POINTER, strndup, "abc", zero);
    SAME(POINTER, wcsdup, L"");
    for (size_t alignment = 0; alignment < 70; alignment++) {
        out = &out;
        SAME(CODE, posix_memalign, &out, alignment, 24);
        CHECK(errno == 7777, "posix_memalign leaves errno alone");
        if (alignment % 8 != 0) CHECK(out == &out, "and, when it fails, the result");
        SAME(POINTER, aligned_alloc, alignment, 24);
        SAME(POINTER, memalign, alignment, 24);
    }
    SAME(CODE, posix_memalign, &out, 64, huge);
    SAME(POINTER, aligned_alloc, 64, huge);
    SAME(POINTER, aligned_alloc, half, 64);
    SAME(POINTER, aligned_alloc, largest, 64);
    SAME(POINTER, memalign, 64, huge);
    SAME(POINTER, memalign, half + 1, 64);
    SAME(POINTER, valloc, huge);
    SAME(POINTER, valloc, zero);

    /* A failing realloc: null, ENOMEM, and the block is as it was. */
    char *block = malloc(31);
    strcpy(block, "still here");
    SAME(POINTER, realloc, block, huge);
    SAME(POINTER, reallocarray, block, half, 2);
    CHECK(strcmp(block, "still here") == 0);
    free(block);

    /* realloc(p, 0) frees p. */
    same(__LINE__, POINTER(realloc(malloc(5), zero)), POINTER(cgoheap_realloc(malloc(5), zero)));
    same(__LINE__, POINTER(reallocarray(malloc(5), zero, 9)), POINTER(cgoheap_reallocarray(malloc(5), zero, 9)));

    errno = 7777;
    cgoheap_free(NULL);
    cgoheap_free(cgoheap_malloc(17));
    CHECK(errno == 7777);
    CHECK(cgoheap_malloc_usable_size(NULL) == 0);
    char *string = NULL;
    int length = cgoheap_asprintf(&string, "%d", 42);
    CHECK(length == 2 && strcmp(string, "42") == 0 && errno == 7777);
    cgoheap_free(string);
    /* A width beyond INT_MAX: EOVERFLOW, and nothing was allocated. */
    same(__LINE__, CODE(asprintf(&string, "%2147483648d", 1)), CODE(cgoheap_asprintf(&string, "%2147483648d", 1)));
    same(__LINE__, CODE(asprintf(&string, "%2147483648d", 1)),
         CODE(cgoheap_asprintf_at("f", 1, "f", &string, "%2147483648d", 1)));
}

int main(void) {
    size_t rates[] = {1, 0, 64, 512 * 1024};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        CHECK(cgoheap_set_rate(rates[i]) == CGOHEAP_OK);
        all();
    }
    /* Above the largest rate nothing changes. */
    CHECK(cgoheap_set_rate(((size_t)1 << 40) + 1) == CGOHEAP_ERR_ARGUMENT && cgoheap_rate() == 512 * 1024);
}
