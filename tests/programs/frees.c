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

    /* Freed by libc, handed out by a hook that doesn't sample it: found out, too, and what it was goes with it. */
    block = cgoheap_malloc(2503);
    again = block;
    free(block);
    now = check_stats();
    CHECK(now.live_objects == 1 && now.live_bytes == 2503);
    cgoheap_set_rate((size_t)1 << 40);
    block = cgoheap_malloc(2503);
    CHECK(block == again, "another address than expected: this test shows nothing");
    now = check_stats();
    CHECK(now.live_objects == 0 && now.live_bytes == 0 && now.live_samples == 0 && now.frees_unseen == 2);
    cgoheap_free(block);

    /* And so on: a pool of blocks that go to code without hooks, which frees them. What is in use at most is 80,000 bytes, a sixth of a
       sample; before, entries stayed until their address was sampled again, and added up to 200 MB. */
    static void *pool[2000];
    cgoheap_set_rate(1 << 19);
    for (int i = 0; i < 10 * 1000 * 1000; i++) {
        free(pool[i % 2000]);
        pool[i % 2000] = cgoheap_malloc(40);
        CHECK(pool[i % 2000] != NULL);
    }
    now = check_stats();
    CHECK(now.frees_unseen > 300 && now.live_bytes < 10 << 20, "%llu unseen, %llu bytes live", now.frees_unseen, now.live_bytes);
    CHECK(now.live_bytes == 0 || (now.live_bytes_in_doubt > 0 && now.live_bytes_margin >= now.live_bytes_in_doubt));
    for (int i = 0; i < 2000; i++) free(pool[i]);
}
