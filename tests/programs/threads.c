/* Threads that come and go, that allocate once in their life, that were parked when the rate changed, and that allocate in
   their last moments. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <stdlib.h>

static void *allocate_some(void *number) {
    void *blocks[10];
    for (size_t i = 0; i < 10; i++) blocks[i] = cgoheap_malloc(1 + (size_t)number % 50 + i);
    for (size_t i = 0; i < 9; i++) cgoheap_free(blocks[i]);
    return blocks[9]; /* freed by the main thread */
}

static void *allocate_once(void *unused) {
    (void)unused;
    return cgoheap_malloc(0);
}

static pthread_key_t key;
static void at_exit(void *block) {
    void *more = cgoheap_malloc(211);
    cgoheap_free(block);
    cgoheap_free(more);
    static __thread int again;
    if (!again++) pthread_setspecific(key, cgoheap_malloc(223)); /* once more round */
}
static void *leave(void *unused) {
    pthread_setspecific(key, cgoheap_malloc(227));
    return unused;
}

enum { PARKED = 8 };
static pthread_barrier_t barrier;
static void *park(void *unused) {
    (void)unused;
    void *blocks[100];
    for (int i = 0; i < 100; i++) blocks[i] = cgoheap_malloc(10);
    for (int i = 0; i < 100; i++) cgoheap_free(blocks[i]);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* the rate changes between the two */
    return cgoheap_malloc(1);
}

static void *run(void *(*function)(void *), void *argument) {
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, function, argument) == 0 && pthread_join(thread, &result) == 0);
    return result;
}

int main(void) {
    /* Parked threads, some of them with a draw from the default rate, from a small one, or from none. */
    size_t rates[] = {512 * 1024, (size_t)1 << 40, 2, 0, 1};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        cgoheap_set_rate(rates[i]);
        pthread_t threads[PARKED];
        void *blocks[PARKED];
        pthread_barrier_init(&barrier, NULL, PARKED + 1);
        for (int j = 0; j < PARKED; j++) CHECK(pthread_create(&threads[j], NULL, park, NULL) == 0);
        pthread_barrier_wait(&barrier);
        struct cgoheap_stats before = check_stats();
        cgoheap_set_rate(1);
        pthread_barrier_wait(&barrier);
        for (int j = 0; j < PARKED; j++) pthread_join(threads[j], &blocks[j]);
        struct cgoheap_stats after = check_stats();
        CHECK(after.samples - before.samples == PARKED && after.live_objects - before.live_objects == PARKED,
              "after rate %zu: %llu seen", rates[i], after.samples - before.samples);
        CHECK(after.live_bytes - before.live_bytes == PARKED);
        for (int j = 0; j < PARKED; j++) cgoheap_free(blocks[j]);
    }
    struct cgoheap_stats now = check_stats();
    CHECK(now.live_objects == 0 && now.live_bytes == 0 && now.live_samples == 0);

    cgoheap_set_rate(0); /* and off is off, at once */
    cgoheap_free(cgoheap_malloc(1 << 20));
    CHECK(check_stats().samples == now.samples);
    cgoheap_set_rate(1);

    enum { THREADS = 1000 };
    struct cgoheap_stats before = check_stats();
    unsigned long long bytes = 0;
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < 10; j++) bytes += 1 + i % 50 + j;
        cgoheap_free(run(allocate_some, (void *)i));
        cgoheap_free(run(allocate_once, NULL));
    }
    now = check_stats();
    CHECK(now.alloc_objects - before.alloc_objects == 11 * THREADS && now.alloc_bytes - before.alloc_bytes == bytes);
    CHECK(now.live_objects == 0 && now.live_bytes == 0);
    /* All threads have the same stacks: nothing grows with the number of threads. */
    CHECK(now.stacks < 50, "%llu", now.stacks);
    CHECK(now.own_bytes < 8 << 20, "%llu", now.own_bytes);

    CHECK(pthread_key_create(&key, at_exit) == 0);
    before = now;
    for (int i = 0; i < 100; i++) run(leave, NULL);
    now = check_stats();
    CHECK(now.alloc_objects - before.alloc_objects == 4 * 100, "%llu", now.alloc_objects - before.alloc_objects);
    CHECK(now.alloc_bytes - before.alloc_bytes == (227 + 211 + 223 + 211) * 100);
    CHECK(now.live_objects == 0 && now.live_bytes == 0);
    CHECK_NOTHING_LOST();
}
