/* Exact counts: only while the timer runs, from the last reset on, whatever comes between; by all threads; and nobody looks
   at the timer once the count has been stopped. */
#include "check.h"
#include "cgoheap.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

/* As testing.B: who owns it starts, stops and resets it as that does. */
struct timer {
    unsigned char running;
    unsigned long long net; /* reset sets it to 0, stop adds to it */
};

static void start(struct timer *t) { t->running = 1; }
static void stop(struct timer *t) {
    if (t->running) t->net += 17;
    t->running = 0;
}
static void reset(struct timer *t) { t->net = 0; }

static NOINLINE void churn(int blocks, size_t size) {
    for (int i = 0; i < blocks; i++) {
        void *volatile block = malloc(size);
        free(block);
    }
}

static int begin(struct timer *t) {
    int count = -1;
    CHECK(cgoheap_start_count(&t->running, &t->net, &count) == CGOHEAP_OK);
    return count;
}

#define CHECK_COUNT(count, want_objects, want_bytes)                                                                   \
    do {                                                                                                               \
        unsigned long long objects, bytes;                                                                             \
        CHECK(cgoheap_stop_count(count, &objects, &bytes) == CGOHEAP_OK);                                              \
        CHECK(objects == (want_objects) && bytes == (want_bytes), "%llu blocks, %llu bytes", objects, bytes);          \
    } while (0)

static void one_thread(void) {
    struct timer t = {.running = 1};
    int count = begin(&t);
    churn(3, 100);
    CHECK_COUNT(count, 3, 300);
    CHECK(t.net == 0, "%llx", t.net);

    /* Stopped and started. */
    t = (struct timer){.running = 1, .net = 5};
    count = begin(&t);
    churn(3, 100), stop(&t), churn(7, 1), start(&t), churn(2, 50), stop(&t), churn(7, 1);
    CHECK_COUNT(count, 5, 400);
    CHECK(t.net == 5 + 2 * 17, "%llx", t.net);

    /* Reset, while running and while stopped, with and without allocations in between, and as the last thing. */
    t = (struct timer){.running = 1};
    count = begin(&t);
    churn(9, 9), reset(&t), churn(2, 10), stop(&t), churn(9, 9), start(&t), churn(1, 10);
    CHECK_COUNT(count, 3, 30);
    count = begin(&t);
    churn(9, 9), stop(&t), reset(&t), start(&t), churn(1, 10);
    CHECK_COUNT(count, 1, 10);
    count = begin(&t);
    churn(9, 9), reset(&t), stop(&t), start(&t), churn(1, 10);
    CHECK_COUNT(count, 1, 10);
    for (int again = 0; again < 3; again++) {
        count = begin(&t);
        for (int i = 0; i < 5; i++)
            churn(9, 9), reset(&t), stop(&t), churn(4, 4), start(&t), churn(i, 10), stop(&t), start(&t), churn(1, 1);
        CHECK_COUNT(count, 5, 41);
    }
    count = begin(&t);
    churn(9, 9), reset(&t), stop(&t);
    CHECK_COUNT(count, 0, 0);
    CHECK(t.net == 17, "%llx", t.net);

    /* One inside another, which ends first, and one that counts always. */
    struct timer inner = {.running = 1};
    int always;
    t.running = 1;
    CHECK(cgoheap_start_count(NULL, NULL, &always) == CGOHEAP_OK);
    count = begin(&t);
    churn(1, 1);
    int within = begin(&inner);
    churn(2, 10), stop(&t), churn(4, 100), reset(&inner), churn(1, 7);
    CHECK_COUNT(within, 1, 7);
    start(&t), churn(1, 1000);
    CHECK_COUNT(count, 4, 1021);
    churn(1, 1);
    CHECK_COUNT(always, 10, 1429);
}

static void refusals(void) {
    struct timer t[17] = {{0}};
    int counts[17], none = -7;
    unsigned long long objects = 1, bytes = 2;
    CHECK(cgoheap_start_count(NULL, NULL, NULL) == CGOHEAP_ERR_NULL);
    for (int i = 0; i < 16; i++)
        counts[i] = begin(&t[i]);
    CHECK(cgoheap_start_count(&t[16].running, &t[16].net, &none) == CGOHEAP_ERR_ARGUMENT && none == -7 && t[16].net == 0);
    CHECK_COUNT(counts[3], 0, 0);
    CHECK(cgoheap_start_count(&t[4].running, &t[4].net, &none) == CGOHEAP_ERR_ARGUMENT && none == -7, "a mark in use");
    counts[3] = begin(&t[3]);
    for (int i = 0; i < 16; i++)
        CHECK_COUNT(counts[i], 0, 0);
    for (int i = -1; i < 20; i++)
        CHECK(cgoheap_stop_count(i, &objects, &bytes) == CGOHEAP_ERR_ARGUMENT && objects == 1 && bytes == 2);
    CHECK(cgoheap_stop_count(0, NULL, &bytes) == CGOHEAP_ERR_NULL);
}

/* The rate, meanwhile, is what was set, and holds again afterwards. */
static void rates(void) {
    struct timer t = {.running = 1};
    check_stats();
    cgoheap_set_rate(1);
    int count = begin(&t);
    CHECK(cgoheap_rate() == 1);
    unsigned long long samples = check_stats().samples;
    churn(10, 10);
    CHECK(check_stats().samples == samples);
    CHECK(cgoheap_set_rate(4711) == CGOHEAP_OK && cgoheap_rate() == 4711);
    churn(10, 10);
    CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
    CHECK(check_stats().samples == samples);
    CHECK_COUNT(count, 20, 200);
    CHECK(cgoheap_rate() == 1);
    churn(10, 10);
    CHECK(check_stats().samples == samples + 10);
}

static unsigned char done;

static void *watch_rate(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        size_t rate = cgoheap_rate();
        CHECK(rate == 1, "%zu", rate);
    }
    return NULL;
}

static void *hammer(void *unused) {
    (void)unused;
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED))
        churn(1, 1);
    return NULL;
}

/* The timer's page goes away at once after the stop, while others allocate. */
static void stop_under_load(void) {
    pthread_t threads[4];
    cgoheap_set_rate(1);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, i == 0 ? watch_rate : hammer, NULL);
    for (int i = 0; i < 500; i++) {
        struct timer *t = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(t != MAP_FAILED);
        t->running = 1;
        int count = begin(t);
        churn(5, 1);
        unsigned long long objects, bytes;
        CHECK(cgoheap_stop_count(count, &objects, &bytes) == CGOHEAP_OK);
        munmap(t, 4096);
        CHECK(objects >= 5 && objects == bytes);
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* Threads that begin together right behind a reset: none of their first allocations is lost, nothing of before stays. */
enum { THREADS = 4, ROUNDS = 400 };
static pthread_barrier_t barrier;

static void *worker(void *unused) {
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&barrier);
        churn(3, 2);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void together(void) {
    struct timer t = {.running = 1};
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, worker, NULL);
    int count = begin(&t);
    for (int i = 0; i < ROUNDS; i++) {
        start(&t);
        churn(i % 3, 1000);
        reset(&t);
        if (i % 2) stop(&t), start(&t);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        stop(&t);
        CHECK_COUNT(count, THREADS * 3, THREADS * 6);
        count = begin(&t);
    }
    CHECK_COUNT(count, 0, 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(void) {
    one_thread();
    refusals();
    rates();
    stop_under_load();
    together();
    return 0;
}
