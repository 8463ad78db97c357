/* Recursion deeper than stacks are kept: cut, counted, marked, and quick enough. */
#define CGOHEAP_NO_REDIRECT
#include "reference.h"
#include <string.h>

static volatile int one = 1;

static NOINLINE int down(int depth) {
    char frame[64];
    __asm__ volatile("" : : "r"(frame) : "memory");
    if (depth > 0) return down(depth - 1) + one;
    WALK(4099);
    return 0;
}

int main(void) {
    cgoheap_set_rate(1);
    down(10000);
    compare_walks(1);
    const struct check_stack *stack = check_stack_of(check_profile(), 4099);
    CHECK(stack->n_pcs == 256 && strcmp(stack->lines[255].function, "down") == 0);
    CHECK(strcmp(stack->lines[stack->n_lines - 1].function, "[stack cut: too deep]") == 0);
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_too_deep == 1 && now.stacks_unreadable == 0 && now.stacks == 1);
    /* Deeper still is the same stack. */
    n_walks = 0;
    down(100000 / (int)sizeof(void *));
    now = check_stats();
    CHECK(now.stacks_too_deep == 2 && now.stacks == 1 && now.live_bytes == 2 * 4099);
}
