/* The compiler's own unwinder as the judge of ours. JUDGE(size) allocates `size` bytes (a size of its own each time), notes
   what _Unwind_Backtrace says of the same place, and judge_all() compares. */
#ifndef JUDGE_H
#define JUDGE_H
#include "check.h"
#include <unwind.h>

#define JUDGE_MAX 32

static struct judgement {
    long long size;
    int line, n;
    unsigned long long pcs[300];
} judgements[JUDGE_MAX];
static int n_judgements;

static _Unwind_Reason_Code judge_frame(struct _Unwind_Context *context, void *out) {
    struct judgement *judgement = (struct judgement *)out;
    int before_instruction = 0;
    unsigned long long ip = _Unwind_GetIPInfo(context, &before_instruction);
    /* Past its end the walk may give 0; a frame that a signal interrupted is kept as its address plus one. */
    if (ip && judgement->n < 300) judgement->pcs[judgement->n++] = ip + (before_instruction ? 1 : 0);
    return _URC_NO_REASON;
}

static NOINLINE void judge_here(long long size, int line) {
    CHECK(n_judgements < JUDGE_MAX);
    struct judgement *judgement = &judgements[n_judgements++];
    judgement->size = size;
    judgement->line = line;
    _Unwind_Backtrace(judge_frame, judgement);
    CHECK(judgement->n > 2, "line %d: the judge sees nothing", line);
    __asm__ volatile("");
}

/* Both calls from the same function, whose frame is on the stack until the end of this. The blocks are never freed. */
#define JUDGE(size)                                                                                                    \
    do {                                                                                                               \
        void *judged_ = cgoheap_malloc(size);                                                                          \
        judge_here(size, __LINE__);                                                                                    \
        __asm__ volatile("" : : "r"(judged_) : "memory");                                                              \
    } while (0)

/* Stacks of more frames than are kept agree as far as they go. */
static void judge_all(int expected) {
    CHECK(n_judgements == expected, "%d of %d", n_judgements, expected);
    struct check_profile *profile = check_profile();
    for (int i = 0; i < n_judgements; i++) {
        const struct judgement *theirs = &judgements[i];
        const struct check_stack *ours = check_stack_of(profile, theirs->size);
        /* theirs: judge_here, the function, its callers; ours: the function, its callers. */
        size_t n = (size_t)theirs->n - 1;
        CHECK(ours->n_pcs == (n > 256 ? 256 : n), "line %d: %zu frames, the judge has %zu:\n%s", theirs->line,
              ours->n_pcs, n, (check_show(ours), ""));
        CHECK(theirs->pcs[1] - ours->pcs[0] < 200, "line %d: another function", theirs->line);
        for (size_t j = 1; j < ours->n_pcs; j++)
            CHECK(ours->pcs[j] == theirs->pcs[j + 1], "line %d, frame %zu: %#llx, the judge says %#llx\n%s",
                  theirs->line, j, ours->pcs[j], theirs->pcs[j + 1], (check_show(ours), ""));
    }
}
#endif
