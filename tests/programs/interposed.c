/* interposed: functions of libc that this program defines itself, as a preloaded library would, and that must not be called
   from inside malloc: theirs may allocate, lock, or not be set up yet. CGOHEAP has to have an unknown word, to be warned of. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <stdlib.h>

static __thread int in_hook; /* and since there, trapped */
#define TRAPPED(name)                                                                                                  \
    long trapped_##name(void) __asm__(#name);                                                                          \
    long trapped_##name(void) {                                                                                        \
        CHECK(!in_hook, #name " is called from a hook");                                                               \
        __builtin_trap(); /* nothing else here calls it either */                                                      \
    }
TRAPPED(clock_gettime)
TRAPPED(getpid)
TRAPPED(gettid)
TRAPPED(madvise)
TRAPPED(poll)
TRAPPED(ppoll)
TRAPPED(sched_yield)
TRAPPED(strnlen)
TRAPPED(syscall)

#define IN_HOOK(call) (in_hook = 1, result = (call), in_hook = 0, result)

static NOINLINE void *allocate(size_t size, int depth) {
    void *result, *block = depth > 0 ? allocate(size, depth - 1) : IN_HOOK(cgoheap_malloc(size));
    __asm__ volatile("" : "+r"(block)); /* no tail call: stacks of many kinds */
    return block;
}

static void *work(void *unused) {
    void *result, *blocks[500];
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < 500; i++) blocks[i] = allocate(i + 1, (int)(i + round) % 100);
        for (size_t i = 0; i < 500; i++) blocks[i] = IN_HOOK(cgoheap_realloc(blocks[i], i + 200000 * (i % 50 == 0) + 1));
        for (size_t i = 0; i < 500; i++) {
            in_hook = 1;
            cgoheap_free(blocks[i]);
            in_hook = 0;
        }
    }
    return unused;
}

int main(void) {
    void *result;
    cgoheap_free(IN_HOOK(cgoheap_malloc((size_t)1 << 21))); /* reads the environment, and warns */
    in_hook = 1;
    CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
    in_hook = 0;
    cgoheap_free(IN_HOOK(cgoheap_strndup("text", 3)));
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK_NOTHING_LOST();
}
