/* The system gives no more memory: our tables can't grow. The program's own requests are answered as without us. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static size_t address_space(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages * 4096;
}

enum { N = 100000 };
static void *blocks[N];

static NOINLINE void *deep(int depth, size_t size) { /* a stack of its own for each depth */
    void *block = depth ? deep(depth - 1, size) : cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

int main(int argc, char **argv) {
    (void)argv;
    cgoheap_set_rate(1);
    if (argc > 1) cgoheap_free(cgoheap_malloc(1)); /* some tables are there already; without, none */
    /* The program's own heap, so that malloc still has memory when mmap has none. */
    void *heap = malloc(N * 160);
    free(heap);
    void *small[1000];
    for (int i = 0; i < 1000; i++) small[i] = malloc(64 * 1024);
    for (int i = 0; i < 999; i++) free(small[i]);
    check_stats();
    struct rlimit limit = {address_space(), RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);

    long long got = 0, refused = 0, bytes = 0;
    for (size_t i = 0; i < N; i++) {
        errno = 0;
        blocks[i] = i % 50 ? cgoheap_malloc(100 + i % 300) : deep((int)(i / 50 % 200), 100 + i % 300);
        if (blocks[i]) {
            CHECK(errno == 0);
            memset(blocks[i], 1, 100 + i % 300);
            got++;
            bytes += 100 + (long long)(i % 300);
        } else {
            CHECK(errno == ENOMEM);
            refused++;
        }
    }
    CHECK(got > 10000, "%lld: not enough to see anything", got);
    CHECK(cgoheap_malloc((size_t)1 << 30) == NULL && errno == ENOMEM);
    struct cgoheap_stats now = check_stats();
    CHECK(now.samples_no_memory > 0);
    CHECK(now.samples + now.samples_no_memory == (unsigned long long)got + (argc > 1), "%llu and %llu of %lld",
          now.samples, now.samples_no_memory, got);
    CHECK(now.live_samples < (unsigned long long)got && now.live_bytes <= (unsigned long long)bytes);

    /* Memory comes back: so do the samples. */
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    for (size_t i = 0; i < N; i++) cgoheap_free(blocks[i]);
    now = check_stats();
    CHECK(now.live_samples == 0 && now.live_bytes == 0 && now.live_objects == 0);
    for (size_t i = 0; i < N; i++) blocks[i] = cgoheap_malloc(1 + i % 300);
    struct cgoheap_stats later = check_stats();
    CHECK(later.live_samples == N && later.samples_no_memory == now.samples_no_memory);
    check_profile();
}
