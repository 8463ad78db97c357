/* Every hooked function once, with a size of its own: what comes, what is live, and the line that the profile shows. Built
   for the plain functions and, with -DAT, for those that the header's macros call. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#ifdef AT
#define HERE __FILE__, __LINE__, __func__
#define CALL(name, ...) cgoheap_##name##_at(__VA_ARGS__, HERE)
#define PRINT(name, ...) cgoheap_##name##_at(HERE, __VA_ARGS__)
#else
#define CALL(name, ...) cgoheap_##name(__VA_ARGS__)
#define PRINT(name, ...) cgoheap_##name(__VA_ARGS__)
#endif

static struct {
    void *block;
    long long size;
    int line;
    const char *function;
} taken[64];
static int n_taken;

static void take(void *block, long long size, int line, const char *function) {
    CHECK(block, "line %d", line);
    CHECK((uintptr_t)block % 16 == 0, "line %d", line);
    CHECK_CHANGE(1, size, 1, size);
    CHECK(cgoheap_malloc_usable_size(block) == malloc_usable_size(block));
    CHECK(malloc_usable_size(block) >= (size_t)size);
    taken[n_taken].block = block;
    taken[n_taken].size = size;
    taken[n_taken].line = line;
    taken[n_taken++].function = function;
}
#define TAKE(size, call) take(call, size, __LINE__, __func__)

static char text[2048];
static const char *text_of(size_t size) { /* size counts the zero at the end */
    memset(text, 'x', size - 1);
    text[size - 1] = 0;
    return text;
}

static const wchar_t wide_text[] = L"\x10ffff 0123456789 0123456789 abcdef #";

static void *aligned(void *block, size_t alignment) {
    CHECK((uintptr_t)block % alignment == 0);
    return block;
}

static NOINLINE void *by_list(size_t size, const char *format, ...) {
    char *out = NULL;
    va_list list;
    va_start(list, format);
    int length = PRINT(vasprintf, &out, format, list); int line = __LINE__;
    va_end(list);
    CHECK(length == (int)size - 1 && strlen(out) == size - 1);
    take(out, (long long)size, line, __func__);
    return out;
}

int main(void) {
    CHECK(cgoheap_set_rate(1) == CGOHEAP_OK && cgoheap_rate() == 1);
    CHECK_CHANGE(0, 0, 0, 0);
    void *out;
    char *string;

    TAKE(101, CALL(malloc, 101));
    TAKE(3 * 103, CALL(calloc, 3, 103));
    for (int i = 0; i < 3 * 103; i++) CHECK(((char *)taken[n_taken - 1].block)[i] == 0);
    TAKE(107, CALL(realloc, NULL, 107));
    TAKE(5 * 109, CALL(reallocarray, NULL, 5, 109));
    TAKE(113, CALL(strdup, text_of(113)));
    CHECK(strcmp(taken[n_taken - 1].block, text) == 0);
    TAKE(127, CALL(strndup, text_of(127), 1000)); /* shorter than its limit: up to the zero */
    CHECK(strcmp(taken[n_taken - 1].block, text) == 0);
    TAKE(131, CALL(strndup, text_of(1000), 130)); /* longer: cut, and a zero added */
    CHECK(memcmp(taken[n_taken - 1].block, text, 130) == 0 && ((char *)taken[n_taken - 1].block)[130] == 0);
    TAKE(132, CALL(wcsdup, wide_text)); /* 32 letters and the zero, of four bytes each */
    CHECK(wcscmp(taken[n_taken - 1].block, wide_text) == 0);
    TAKE(137, (CALL(posix_memalign, &out, 4096, 137) == 0 ? aligned(out, 4096) : NULL));
    TAKE(139, aligned(CALL(aligned_alloc, 256, 139), 256));
    TAKE(149, aligned(CALL(memalign, 1024, 149), 1024));
    TAKE(151, aligned(CALL(valloc, 151), 4096));
    TAKE(157, (PRINT(asprintf, &string, "%s-%.1f", text_of(153), 2.5) == 156 ? string : NULL));
    by_list(163, "%s%d%c", text_of(161), 7, 'z');
    TAKE(1000003, CALL(malloc, 1000003)); /* a block that glibc maps */
    TAKE(0, CALL(malloc, 0));

    struct check_profile *profile = check_profile();
    for (int i = 0; i < n_taken - 1; i++) {
        const struct check_stack *stack = check_stack_of(profile, taken[i].size);
        CHECK_LINE(stack, 0, taken[i].function, "each_function.c", taken[i].line);
        CHECK(stack->inuse_objects == 1 && stack->alloc_objects == 1 && stack->alloc_bytes == taken[i].size);
        CHECK(stack->n_pcs >= 4, "to _start");
        if (strcmp(taken[i].function, "main") != 0) CHECK_LINE(stack, 1, "main", "each_function.c", 0);
    }

    for (int i = 0; i < n_taken; i++) {
        cgoheap_free(taken[i].block);
        CHECK_CHANGE(0, 0, -1, -taken[i].size);
    }
    struct cgoheap_stats end = check_stats();
    CHECK(end.live_bytes == 0 && end.live_objects == 0 && end.live_samples == 0);
    CHECK(end.stacks_no_unwind_info + end.stacks_bad_unwind_info + end.stacks_unreadable + end.stacks_too_deep == 0);
}
