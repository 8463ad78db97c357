// The build of the Go loads without cgoheap has no cgoheap_set_rate.
#if defined(CAPTURE) || defined(HEADER)
#include "depth.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cgoheap.h"

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

/* Pairs at the current rate: nanoseconds of one. The least of some runs: the others were disturbed. */
static double warm_pair(void) {
    enum { PAIRS = 1000, RUNS = 21 };
    double best = 1e18;
    for (int run = 0; run < RUNS; run++) {
        double start = now_ns();
        for (int i = 0; i < PAIRS; i++) {
            void *volatile block = malloc(64);
            free(block);
        }
        double took = (now_ns() - start) / PAIRS;
        best = took < best ? took : best;
    }
    return best;
}

enum { COLD = 60, OTHER = 32 << 20 };

static void cold_pair(char *other, double *malloc_ns, double *free_ns) {
    static double mallocs[COLD], frees[COLD];
    for (int i = 0; i < COLD; i++) {
        memset(other, i, OTHER);
        double start = now_ns();
        void *volatile block = malloc(64);
        mallocs[i] = now_ns() - start;
        memset(other, i, OTHER);
        start = now_ns();
        free(block);
        frees[i] = now_ns() - start;
    }
    *malloc_ns = median(mallocs, COLD);
    *free_ns = median(frees, COLD);
}

static void measure(struct depth_result *out) {
    cgoheap_set_rate(0);
    char *other = malloc(OTHER);
    double plain = warm_pair(), plain_malloc, plain_free, cold_malloc, cold_free;
    cold_pair(other, &plain_malloc, &plain_free);
    cgoheap_set_rate(1);
    warm_pair();
    out->warm_ns = warm_pair() - plain;
    cold_pair(other, &cold_malloc, &cold_free);
    out->cold_ns = cold_malloc - plain_malloc;
    out->cold_free_ns = cold_free - plain_free;
    cgoheap_set_rate(0);
    free(other);
}

/* Three kinds of frames in turn, with different registers saved, so that unwinding one isn't unwinding all. */
static void descend(int frames, struct depth_result *out);

static void __attribute__((noinline)) step_a(int frames, struct depth_result *out) {
    descend(frames - 1, out);
    __asm__ volatile("" ::: "rbx", "memory");
}

static void __attribute__((noinline)) step_b(int frames, struct depth_result *out) {
    volatile char room[200];
    room[0] = 1;
    descend(frames - 1, out);
    __asm__ volatile("" ::"r"(room) : "r12", "r13", "r14", "memory");
}

static void __attribute__((noinline)) step_c(int frames, struct depth_result *out) {
    descend(frames - 1, out);
    __asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15", "memory");
}

static void __attribute__((always_inline)) inline descend(int frames, struct depth_result *out) {
    if (frames <= 0)
        measure(out);
    else if (frames % 3 == 0)
        step_a(frames, out);
    else if (frames % 3 == 1)
        step_b(frames, out);
    else
        step_c(frames, out);
}

void depth_measure(int frames, struct depth_result *out) {
    /* The caller, this function, measure and the leaf that it calls are frames too. */
    descend(frames - 4, out);
    __asm__ volatile("" ::: "memory");
}
#endif
