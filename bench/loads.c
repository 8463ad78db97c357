/*
 * Loads on malloc, for comparing allocators and profilers by CPU time:
 *
 *     loads NAME THREADS ROUNDS
 *
 * does ROUNDS rounds in each of THREADS threads. Patterns of the public malloc suites are written anew after their
 * descriptions; what each does is said above it. The same source is compiled plain, with the header, with the whole process
 * captured and with AddressSanitizer, and run below preloaded allocators (bench/bench.py).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef HEADER
#include "cgoheap.h"
#endif

struct job {
    int thread, threads;
    long rounds;
    size_t size; /* of pairs */
};

static uint64_t next_random(uint64_t *state) { /* SplitMix64 */
    uint64_t z = *state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* Most are small, few are large: 16 to 8,192 bytes, each doubling half as likely. */
static size_t mixed_size(uint64_t *random) {
    uint64_t r = next_random(random);
    int doublings = __builtin_ctzll(r | 1 << 9);
    return ((size_t)16 << doublings) - (r >> 60);
}

static void *need(void *block) {
    if (block == NULL)
        abort();
    return block;
}

/* One block, freed at once. */
static void pair(struct job *job) {
    for (long i = 0; i < job->rounds; i++) {
        char *volatile block = need(malloc(job->size));
        *block = 1;
        free(block);
    }
}

/* 10,000 blocks of mixed sizes, then all of them freed. */
static void batch(struct job *job) {
    enum { BLOCKS = 10000 };
    char **blocks = need(malloc(BLOCKS * sizeof *blocks));
    for (long round = 0; round < job->rounds; round++) {
        uint64_t random = 1;
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = need(malloc(mixed_size(&random)));
            *blocks[i] = 1;
        }
        for (int i = 0; i < BLOCKS; i++)
            free(blocks[i]);
    }
    free(blocks);
}

/* A buffer that grows by half until it has 64 KiB. */
static void grow(struct job *job) {
    for (long round = 0; round < job->rounds; round++) {
        char *buffer = NULL;
        for (size_t size = 16; size < 65536; size += size / 2) {
            buffer = need(realloc(buffer, size));
            buffer[size - 1] = 1;
        }
        free(buffer);
    }
}

/* A ring of one writer and one reader. */
enum { RING = 1024 };
struct ring {
    _Alignas(64) _Atomic long written;
    _Alignas(64) _Atomic long read;
    void *slots[RING];
};
static struct ring rings[64];

/* Sleeps: time spent in waiting for the other is not to be counted. */
static void wait_a_little(void) {
    struct timespec wait = {0, 20000};
    nanosleep(&wait, NULL);
}

static void put(struct ring *ring, void *block) {
    long at = atomic_load_explicit(&ring->written, memory_order_relaxed);
    while (at - atomic_load_explicit(&ring->read, memory_order_acquire) >= RING)
        wait_a_little();
    ring->slots[at % RING] = block;
    atomic_store_explicit(&ring->written, at + 1, memory_order_release);
}

static void *take(struct ring *ring) {
    long at = atomic_load_explicit(&ring->read, memory_order_relaxed);
    while (at == atomic_load_explicit(&ring->written, memory_order_acquire))
        wait_a_little();
    void *block = ring->slots[at % RING];
    atomic_store_explicit(&ring->read, at + 1, memory_order_release);
    return block;
}

/* Even threads allocate, odd threads free: every free is of another thread's block. */
static void pipeline(struct job *job) {
    struct ring *ring = &rings[job->thread / 2 % 64];
    uint64_t random = 1;
    for (long i = 0; i < job->rounds; i++) {
        if (job->thread % 2 == 0) {
            char *block = need(malloc(mixed_size(&random)));
            *block = 1;
            put(ring, block);
        } else {
            free(take(ring));
        }
    }
}

/* Larson: a server's worker. Random blocks of an array are replaced; every so often the array goes on to the next thread, so
   that blocks outlive the thread that made them. */
static _Atomic(char **) arrays[64];

static void larson(struct job *job) {
    enum { BLOCKS = 1000, STEPS = 5000 };
    uint64_t random = (uint64_t)job->thread;
    for (long round = 0; round < job->rounds; round++) {
        char **blocks = atomic_exchange(&arrays[job->thread % 64], NULL);
        if (blocks == NULL)
            blocks = need(calloc(BLOCKS, sizeof *blocks));
        for (int step = 0; step < STEPS; step++) {
            uint64_t r = next_random(&random);
            char **slot = &blocks[r % BLOCKS];
            free(*slot);
            *slot = need(malloc(8 + (r >> 40) % 493));
            **slot = 1;
        }
        blocks = atomic_exchange(&arrays[(job->thread + 1) % job->threads % 64], blocks);
        if (blocks != NULL) {
            for (int i = 0; i < BLOCKS; i++)
                free(blocks[i]);
            free(blocks);
        }
    }
}

/* xmalloc: batches made by one thread and freed by another, through one list that all share. */
struct bundle {
    struct bundle *next;
    void *blocks[120];
};
static pthread_mutex_t bundles_lock = PTHREAD_MUTEX_INITIALIZER;
static struct bundle *bundles;
static int bundles_count;

static void xmalloc(struct job *job) {
    uint64_t random = (uint64_t)job->thread;
    for (long round = 0; round < job->rounds; round++) {
        struct bundle *bundle = need(malloc(sizeof *bundle));
        for (size_t i = 0; i < sizeof bundle->blocks / sizeof *bundle->blocks; i++) {
            char *block = need(malloc((size_t)16 << next_random(&random) % 6));
            bundle->blocks[i] = block;
            *block = 1;
        }
        pthread_mutex_lock(&bundles_lock);
        bundle->next = bundles;
        bundles = bundle;
        bundles_count++;
        /* The oldest of the thread that came last isn't looked for: whatever is on top, once there are some. */
        struct bundle *mine = NULL;
        if (bundles_count > job->threads) {
            mine = bundles->next;
            bundles->next = mine->next;
            bundles_count--;
        }
        pthread_mutex_unlock(&bundles_lock);
        if (mine != NULL) {
            for (size_t i = 0; i < sizeof mine->blocks / sizeof *mine->blocks; i++)
                free(mine->blocks[i]);
            free(mine);
        }
    }
}

/* cache-scratch: each thread is handed a small block that the main thread made beside the others', frees it, then writes to
   small blocks of its own. Would be slow if an allocator gave the same cache line to several threads. */
static char *handed[64];

static void scratch(struct job *job) {
    free(handed[job->thread % 64]);
    for (long round = 0; round < job->rounds; round++) {
        volatile char *block = need(malloc(8));
        for (int i = 0; i < 50; i++)
            block[i % 8]++;
        free((void *)block);
    }
}

/* cache-thrash: the same without the block handed over. */
static void thrash(struct job *job) {
    for (long round = 0; round < job->rounds; round++) {
        volatile char *block = need(malloc(8));
        for (int i = 0; i < 50; i++)
            block[i % 8]++;
        free((void *)block);
    }
}

/* alloc-test: random sizes up to 1,000 bytes with lifetimes that differ widely, in a working set of 20,000 blocks. */
static void alloctest(struct job *job) {
    enum { BLOCKS = 20000 };
    char **blocks = need(calloc(BLOCKS, sizeof *blocks));
    uint64_t random = (uint64_t)job->thread;
    for (long i = 0; i < job->rounds; i++) {
        uint64_t r = next_random(&random);
        /* Low places are chosen more often: the product of two uniform numbers. */
        uint64_t a = (r & 0xffff), b = (r >> 16 & 0xffff);
        char **slot = &blocks[(a * b >> 16) * BLOCKS >> 16];
        free(*slot);
        size_t size = 1 + (r >> 32) % 1000;
        *slot = need(malloc(size));
        memset(*slot, 1, size < 64 ? size : 64);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    free(blocks);
}

static const struct {
    const char *name;
    void (*run)(struct job *);
} loads[] = {
    {"batch", batch},     {"grow", grow},       {"pipeline", pipeline}, {"larson", larson},
    {"xmalloc", xmalloc}, {"scratch", scratch}, {"thrash", thrash},     {"alloctest", alloctest},
};

static void (*run)(struct job *);

static void *work(void *job) {
    run(job);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int threads = atoi(argv[2]);
    size_t size = 0;
    if (strncmp(argv[1], "pair", 4) == 0) {
        size = strtoul(argv[1] + 4, NULL, 10);
        run = pair;
    }
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++)
        if (strcmp(argv[1], loads[i].name) == 0)
            run = loads[i].run;
    if (run == NULL || threads < 1 || threads > 128 || (run == pipeline && threads % 2 != 0)) {
        fprintf(stderr, "loads: no load '%s' with %d threads\n", argv[1], threads);
        return 2;
    }
    for (int i = 0; i < 64; i++)
        handed[i] = malloc(8);
    static pthread_t ids[128];
    static struct job jobs[128];
    for (int i = 0; i < threads; i++) {
        jobs[i] = (struct job){i, threads, atol(argv[3]), size};
        /* One thread is the main thread: some allocators are faster as long as there is no other. */
        if (threads == 1)
            run(&jobs[i]);
        else if (pthread_create(&ids[i], NULL, work, &jobs[i]) != 0)
            abort();
    }
    for (int i = 0; threads > 1 && i < threads; i++)
        pthread_join(ids[i], NULL);
    return 0;
}
