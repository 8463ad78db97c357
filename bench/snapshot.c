/*
 * snapshot LIVE STACKS REPEAT FILE: LIVE sampled blocks on STACKS stacks, then snapshots while another thread allocates
 * and frees, every block of it sampled. Prints a line of JSON, writes one profile to FILE.
 *
 * The pause that an allocating thread sees is the time of its single malloc-free pairs: those during snapshots beside those
 * of a time without. Time of the clock, so it contains what the system did meanwhile; on a busy machine compare the two.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

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

enum { LEVELS = 18, BUCKETS = 4000 }; /* of 250 ns each; the last also holds what is longer */

static atomic_int phase; /* 0: without snapshots, 1: during, 2: end */
static long counts[2][BUCKETS];
static long long longest[2];

static void *churn(void *nothing) {
    (void)nothing;
    for (int at; (at = atomic_load(&phase)) < 2;) {
        long long start = clock_ns(CLOCK_MONOTONIC);
        void *volatile block = malloc(32);
        free(block);
        long long took = clock_ns(CLOCK_MONOTONIC) - start;
        counts[at][took / 250 < BUCKETS ? took / 250 : BUCKETS - 1]++;
        if (took > longest[at])
            longest[at] = took;
    }
    return NULL;
}

static double percentile_us(const long *counts, double share) {
    long all = 0, sum = 0;
    for (int i = 0; i < BUCKETS; i++)
        all += counts[i];
    for (int i = 0; i < BUCKETS; i++)
        if ((sum += counts[i]) >= share * (double)all)
            return 0.25 * (i + 1);
    return 0;
}

/* A number of /proc/self/status, in bytes. */
static long long status(const char *name) {
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = atoll(line + strlen(name) + 1);
    if (file != NULL)
        fclose(file);
    return kib << 10;
}

static void new_high_water_mark(void) {
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        fputs("5", file);
        fclose(file);
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

int main(int argc, char **argv) {
    if (argc != 5)
        return 2;
    long live = atol(argv[1]), stacks = atol(argv[2]);
    int repeat = atoi(argv[3]);
    if (repeat > 1000 || stacks > 1 << LEVELS)
        return 2;
    static double take_ms[1000], encode_ms[1000];
    cgoheap_set_rate(1);
    for (long i = 0; i < live; i++)
        (void)!descend((unsigned)(i % stacks) * 2654435761u >> (32 - LEVELS), LEVELS);
    pthread_t thread;
    if (pthread_create(&thread, NULL, churn, NULL) != 0)
        return 1;
    struct timespec wait = {0, 500000000};
    nanosleep(&wait, NULL);
    atomic_store(&phase, 1);
    double first_encode_ms = 0;
    long long peak = 0;
    for (int i = 0; i < repeat; i++) {
        malloc_trim(0); /* or what the last round gave back to malloc, but not malloc to the system, would be used again unseen */
        new_high_water_mark();
        long long before = status("VmRSS:"), start = clock_ns(CLOCK_MONOTONIC);
        cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
        take_ms[i] = (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
        unsigned char *bytes = NULL;
        size_t length = 0;
        start = clock_ns(CLOCK_MONOTONIC);
        if (cgoheap_snapshot_encode(snapshot, CGOHEAP_FORMAT_PROTO, &bytes, &length) != CGOHEAP_OK)
            return 1;
        encode_ms[i] = (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
        long long extra = status("VmHWM:") - before;
        if (i == 0) { /* names are looked up here: apart */
            first_encode_ms = encode_ms[0];
        } else if (extra > peak) {
            peak = extra;
        }
        if (i == repeat - 1) { /* last, since it allocates in places that are new */
            FILE *file = fopen(argv[4], "wb");
            if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0)
                return 1;
        }
        cgoheap_buffer_free(bytes, length);
        cgoheap_snapshot_free(snapshot);
    }
    atomic_store(&phase, 2);
    pthread_join(thread, NULL);
    struct cgoheap_stats stats;
    cgoheap_read_stats(&stats, sizeof stats);
    printf("{\"live_samples\": %llu, \"stacks\": %llu, \"take_ms\": %.2f, \"encode_ms\": %.2f, \"first_encode_ms\": %.2f, "
           "\"peak_extra_bytes\": %lld, \"own_bytes\": %llu, ",
           stats.live_samples, stats.stacks, median(take_ms + 1, repeat - 1), median(encode_ms + 1, repeat - 1),
           first_encode_ms, peak, stats.own_bytes);
    for (int at = 0; at < 2; at++)
        printf("\"%s\": {\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.1f}%s",
               at == 0 ? "pair_alone" : "pair_during", percentile_us(counts[at], 0.5), percentile_us(counts[at], 0.99),
               percentile_us(counts[at], 0.999), (double)longest[at] / 1e3, at == 0 ? ", " : "}\n");
    return 0;
}
