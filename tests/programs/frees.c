/* Frees that come from elsewhere: another thread, libc itself, or of blocks that no hook has seen. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <stdlib.h>

static void *free_it(void *block) {
    cgoheap_free(block);
    return NULL;
}

int main(void) {
    cgoheap_set_rate(1);
    CHECK_CHANGE(0, 0, 0, 0);

    pthread_t thread;
    void *block = cgoheap_malloc(1009);
    CHECK_CHANGE(1, 1009, 1, 1009);
    CHECK(pthread_create(&thread, NULL, free_it, block) == 0 && pthread_join(thread, NULL) == 0);
    CHECK_CHANGE(0, 0, -1, -1009);

    for (int i = 0; i < 10000; i++) cgoheap_free(malloc((size_t)(i % 300)));
    CHECK_CHANGE(0, 0, 0, 0);

    /* Freed by libc: stays recorded until the address is handed out again. glibc hands out what was freed last. */
    block = cgoheap_malloc(2003);
    void *again = block;
    free(block);
    CHECK_CHANGE(1, 2003, 1, 2003);
    block = cgoheap_malloc(2003);
    CHECK(block == again, "another address than expected: this test shows nothing");
    struct cgoheap_stats now = check_stats();
    CHECK(now.frees_unseen == 1 && now.live_objects == 1 && now.live_bytes == 2003 && now.alloc_bytes == 1009 + 4006);
    cgoheap_free(block);
    now = check_stats();
    CHECK(now.live_objects == 0 && now.live_bytes == 0 && now.live_samples == 0 && now.frees_unseen == 1);

    /* Freed by libc, handed out by libc, freed by a hook: forgotten, too. */
    block = cgoheap_malloc(3001);
    again = block;
    free(block);
    block = malloc(3001);
    CHECK(block == again, "another address than expected: this test shows nothing");
    cgoheap_free(block);
    now = check_stats();
    CHECK(now.live_objects == 0 && now.live_bytes == 0 && now.frees_unseen == 1);
}
