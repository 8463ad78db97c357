/* The compiler's own unwinder as the reference for ours. WALK(size) allocates `size` bytes (a size of its own each time), notes
   what _Unwind_Backtrace says of the same place, and compare_walks() compares. */
#ifndef REFERENCE_H
#define REFERENCE_H
#include "check.h"
#include <unwind.h>

#define MOST_WALKS 32

static struct walk {
    long long size;
    int line, n;
    unsigned long long pcs[300];
} walks[MOST_WALKS];
static int n_walks;

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *out) {
    struct walk *walk = (struct walk *)out;
    int before_instruction = 0;
    unsigned long long ip = _Unwind_GetIPInfo(context, &before_instruction);
    /* Past its end the walk may give 0; a frame that a signal interrupted is kept as its address plus one. */
    if (ip && walk->n < 300) walk->pcs[walk->n++] = ip + (before_instruction ? 1 : 0);
    return _URC_NO_REASON;
}

static NOINLINE void walk_here(long long size, int line) {
    CHECK(n_walks < MOST_WALKS);
    struct walk *walk = &walks[n_walks++];
    walk->size = size;
    walk->line = line;
    _Unwind_Backtrace(walk_frame, walk);
    CHECK(walk->n > 2, "line %d: the reference sees nothing", line);
    __asm__ volatile("");
}

/* Both calls from the same function, whose frame is on the stack until the end of this. The blocks are never freed. */
#define WALK(size)                                                                                                     \
    do {                                                                                                               \
        void *block_ = cgoheap_malloc(size);                                                                           \
        walk_here(size, __LINE__);                                                                                     \
        __asm__ volatile("" : : "r"(block_) : "memory");                                                               \
    } while (0)

/* Stacks of more frames than are kept agree as far as they go. */
static void compare_walks(int expected) {
    CHECK(n_walks == expected, "%d of %d", n_walks, expected);
    struct check_profile *profile = check_profile();
    for (int i = 0; i < n_walks; i++) {
        const struct walk *theirs = &walks[i];
        const struct check_stack *ours = check_stack_of(profile, theirs->size);
        /* theirs: walk_here, the function, its callers; ours: the function, its callers. */
        size_t n = (size_t)theirs->n - 1;
        CHECK(ours->n_pcs == (n > 256 ? 256 : n), "line %d: %zu frames, the reference has %zu:\n%s", theirs->line,
              ours->n_pcs, n, (check_show(ours), ""));
        CHECK(theirs->pcs[1] - ours->pcs[0] < 200, "line %d: another function", theirs->line);
        for (size_t j = 1; j < ours->n_pcs; j++)
            CHECK(ours->pcs[j] == theirs->pcs[j + 1], "line %d, frame %zu: %#llx, the reference says %#llx\n%s",
                  theirs->line, j, ours->pcs[j], theirs->pcs[j + 1], (check_show(ours), ""));
    }
}
#endif
