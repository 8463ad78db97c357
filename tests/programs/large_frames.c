/* Frames of any size on the thread's own stack: 20 and 200 MB, in threads with room for them; and deep recursion, whose pages
   are asked for once. */
#define CGOHEAP_NO_REDIRECT
#include "reference.h"
#include <pthread.h>
#include <stdint.h>

static volatile int one = 1;

#define LARGE(name, inner, bytes)                                                                                      \
    static NOINLINE int name(void) {                                                                                   \
        char room[bytes];                                                                                              \
        __asm__ volatile("" : : "r"(room) : "memory");                                                                 \
        return inner() + one;                                                                                          \
    }

static NOINLINE int leaf(void) {
    WALK(n_walks ? 1201 : 1200);
    return one;
}
LARGE(frame_of_20_mb, leaf, 20 << 20)
LARGE(frame_of_200_mb, frame_of_20_mb, 200 << 20)
LARGE(frame_of_17_mb, leaf, 17 << 20)

static void *in_thread(void *run) {
    ((int (*)(void))(uintptr_t)run)();
    return NULL;
}

static void run_in_thread(int (*run)(void)) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, 256 << 20) == 0);
    CHECK(pthread_create(&thread, &attributes, in_thread, (void *)(uintptr_t)run) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(void) {
    cgoheap_set_rate(1);
    run_in_thread(frame_of_17_mb);
    run_in_thread(frame_of_200_mb);
    compare_walks(2);
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_unreadable + now.stacks_bad_unwind_info == 0);
    CHECK_NOTHING_LOST();
}
