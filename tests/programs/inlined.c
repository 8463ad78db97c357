/* A stack with inlined and static functions, every line of it; without and with a place from the macro. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <stdlib.h>

#define LINES(name) static int name
LINES(inner_line); LINES(inlined_line); LINES(middle_line); LINES(outer_line);

static inline __attribute__((always_inline)) void *inner(size_t size) {
    inner_line = __LINE__ + 1;
    void *block = cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static inline __attribute__((always_inline)) void *inlined(size_t size) {
    inlined_line = __LINE__ + 1;
    return inner(size + 1);
}

static NOINLINE void *middle(size_t size) {
    middle_line = __LINE__ + 1;
    void *block = inlined(size + 2);
    __asm__ volatile("" : "+r"(block)); /* no tail call */
    return block;
}

NOINLINE void *outer(size_t size) {
    outer_line = __LINE__ + 1;
    void *block = middle(size + 4);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static int sited_line;
static inline __attribute__((always_inline)) void *sited(size_t size) {
    sited_line = __LINE__ + 1;
    void *block = cgoheap_malloc_at(size, "made/up.c", 4711, "sited");
    __asm__ volatile("" : "+r"(block));
    return block;
}

static NOINLINE void *around(size_t size) {
    void *block = sited(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

int main(void) {
    cgoheap_set_rate(1);
    int main_line = __LINE__ + 1;
    void *block = outer(1000);
    void *other = around(2003);
    struct check_profile *profile = check_profile();

    const struct check_stack *stack = check_stack_of(profile, 1007);
    CHECK_LINE(stack, 0, "inner", "inlined.c", inner_line);
    CHECK_LINE(stack, 1, "inlined", "inlined.c", inlined_line);
    CHECK_LINE(stack, 2, "middle", "inlined.c", middle_line);
    CHECK_LINE(stack, 3, "outer", "inlined.c", outer_line);
    CHECK_LINE(stack, 4, "main", "inlined.c", main_line);
    CHECK(stack->pcs[0] != stack->pcs[1] && stack->n_lines == stack->n_pcs + 2, "two inlined");

    stack = check_stack_of(profile, 2003);
    CHECK_LINE(stack, 0, "sited", "made/up.c", 4711);
    CHECK_LINE(stack, 1, "around", "inlined.c", 0);
    CHECK_LINE(stack, 2, "main", "inlined.c", 0);
    cgoheap_free(block);
    cgoheap_free(other);
}
