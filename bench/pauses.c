/*
 * pauses LIVE STACKS SECONDS THREADS PROFILES: LIVE sampled blocks on STACKS stacks; then THREADS threads allocate and free, every block
 * of theirs sampled, for SECONDS, while one more takes snapshots all the time if PROFILES is 1. With more threads than processors
 * whoever holds a lock may be stopped meanwhile. Prints a line of JSON: the longest malloc-free pair, and the longest of
 * what it consists of, in microseconds:
 *
 *   cpu    the thread's own doing (CLOCK_THREAD_CPUTIME_ID)
 *   queue  it could have run, but no processor was free (run delay in /proc/thread-self/schedstat)
 *   lock   the rest: it slept, which here means that another thread had the lock
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgoheap.h"

static long long clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return 1000000000LL * t.tv_sec + t.tv_nsec;
}

/* Each bit of `path` chooses one of two callers: 2^levels different stacks. */
static void *descend(unsigned path, int levels);
static void *__attribute__((noinline)) left(unsigned path, int levels) {
    void *volatile block = descend(path >> 1, levels - 1);
    return block;
}
static void *__attribute__((noinline)) right(unsigned path, int levels) {
    void *volatile block = descend(path >> 1, levels - 1);
    return block;
}
static void *descend(unsigned path, int levels) {
    if (levels == 0) {
        void *volatile block = malloc(32);
        return block;
    }
    return path & 1 ? left(path, levels) : right(path, levels);
}

enum { LEVELS = 18, MOST_THREADS = 64, KEPT = 64 };

static atomic_int end;

struct thread {
    pthread_t id;
    long pairs, over_2ms;
    long long wall, cpu, queue, lock; /* the longest of each */
};

static long long run_delay(int file) {
    char text[128];
    ssize_t length = pread(file, text, sizeof text - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    const char *second = strchr(text, ' ');
    return second == NULL ? 0 : atoll(second);
}

static void longest(long long *most, long long value) {
    if (value > *most)
        *most = value;
}

static void *churn(void *argument) {
    struct thread *own = argument;
    int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        perror("/proc/thread-self/schedstat");
        exit(1);
    }
    void *kept[KEPT] = {0};
    for (unsigned at = 0; !atomic_load(&end); at = (at + 1) % KEPT) {
        long long delay = run_delay(file), cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);
        free(kept[at]);
        kept[at] = malloc(32);
        wall = clock_ns(CLOCK_MONOTONIC) - wall;
        cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
        delay = run_delay(file) - delay;
        long long slept = wall - cpu - delay;
        own->pairs++;
        own->over_2ms += slept > 2000000;
        longest(&own->wall, wall);
        longest(&own->cpu, cpu);
        longest(&own->queue, delay);
        longest(&own->lock, slept);
    }
    close(file);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 6)
        return 2;
    long live = atol(argv[1]), stacks = atol(argv[2]);
    double seconds = atof(argv[3]);
    int threads = atoi(argv[4]), profiles = atoi(argv[5]);
    if (threads < 1 || threads > MOST_THREADS || stacks < 1 || stacks > 1 << LEVELS)
        return 2;
    cgoheap_set_rate(1);
    for (long i = 0; i < live; i++)
        (void)!descend((unsigned)(i % stacks) * 2654435761u >> (32 - LEVELS), LEVELS);
    static struct thread all[MOST_THREADS];
    for (int i = 0; i < threads; i++)
        if (pthread_create(&all[i].id, NULL, churn, &all[i]) != 0)
            return 1;
    long long start = clock_ns(CLOCK_MONOTONIC), took = 0;
    int taken = 0;
    while ((double)(clock_ns(CLOCK_MONOTONIC) - start) < seconds * 1e9) {
        if (profiles) {
            long long before = clock_ns(CLOCK_MONOTONIC);
            cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
            took += clock_ns(CLOCK_MONOTONIC) - before;
            cgoheap_snapshot_free(snapshot);
            taken++;
        } else {
            struct timespec wait = {0, 10000000};
            nanosleep(&wait, NULL);
        }
    }
    atomic_store(&end, 1);
    struct thread sum = {0};
    for (int i = 0; i < threads; i++) {
        pthread_join(all[i].id, NULL);
        sum.pairs += all[i].pairs;
        sum.over_2ms += all[i].over_2ms;
        longest(&sum.wall, all[i].wall);
        longest(&sum.cpu, all[i].cpu);
        longest(&sum.queue, all[i].queue);
        longest(&sum.lock, all[i].lock);
    }
    struct cgoheap_stats stats;
    cgoheap_read_stats(&stats, sizeof stats);
    printf("{\"live_samples\": %llu, \"stacks\": %llu, \"threads\": %d, \"pairs\": %ld, \"snapshots\": %d, \"take_ms\": %.1f, "
           "\"wall_us\": %.1f, \"cpu_us\": %.1f, \"queue_us\": %.1f, \"lock_us\": %.1f, \"locks_over_2ms\": %ld, "
           "\"lock_busy\": %llu}\n",
           stats.live_samples, stats.stacks, threads, sum.pairs, taken, taken ? (double)took / 1e6 / taken : 0,
           (double)sum.wall / 1e3, (double)sum.cpu / 1e3, (double)sum.queue / 1e3, (double)sum.lock / 1e3, sum.over_2ms,
           stats.samples_lock_busy + stats.frees_lock_busy);
    return 0;
}
