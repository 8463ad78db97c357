/* With CGOHEAP=own=16MiB, which half a million live samples and as many profiles' names don't fit into: cgoheap keeps to it at every
   moment, the program is served, counters tell, and what is freed makes room for new samples. argv[1]: a file to write to. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT = 16 << 20, THREADS = 4, BLOCKS = 150000 };
static unsigned char *blocks[THREADS][BLOCKS];
static volatile int done;
static const char *path;
static long long looks;

static NOINLINE void *walk(unsigned bits, int depth) {
    void *block;
    if (!depth) block = cgoheap_malloc(24);
    else if (bits & 1) block = walk(bits >> 1, depth - 1);
    else block = walk(bits >> 1, depth - 1);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static void *allocate(void *number) {
    unsigned thread = (unsigned)(size_t)number;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[thread][i] = walk(i * THREADS + thread, 20);
        CHECK(blocks[thread][i]);
        memset(blocks[thread][i], (int)(i + thread), 24);
    }
    return NULL;
}

static void *release(void *number) {
    unsigned thread = (unsigned)(size_t)number;
    for (unsigned i = 0; i < BLOCKS; i++) {
        for (int at = 0; at < 24; at++) CHECK(blocks[thread][i][at] == (unsigned char)(i + thread));
        cgoheap_free(blocks[thread][i]);
    }
    return NULL;
}

static void *look(void *unused) {
    (void)unused;
    while (!done) {
        struct cgoheap_stats now = check_stats();
        CHECK(now.own_bytes <= LIMIT, "%llu bytes", now.own_bytes);
        looks++;
    }
    return NULL;
}

static void *profile(void *unused) {
    (void)unused;
    while (!done) {
        int code = cgoheap_write_profile(path);
        CHECK(code == CGOHEAP_OK || code == CGOHEAP_ERR_NO_MEMORY, "%d: %s", code, cgoheap_result_text(code));
        usleep(1000);
    }
    return NULL;
}

static void each(void *(*work)(void *)) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    path = argv[1];
    cgoheap_set_rate(1);
    pthread_t looking, profiling;
    CHECK(pthread_create(&looking, NULL, look, NULL) == 0 && pthread_create(&profiling, NULL, profile, NULL) == 0);

    unsigned long long kept = 0;
    for (int round = 0; round < 3; round++) {
        struct cgoheap_stats before = check_stats();
        each(allocate);
        struct cgoheap_stats full = check_stats();
        CHECK(full.samples_no_memory > before.samples_no_memory && full.own_memory_refused > before.own_memory_refused);
        CHECK(full.stacks_table_full > before.stacks_table_full && full.stacks > 1000, "%llu stacks", full.stacks);
        /* 29,000 as a rule; half of them while an array of the filter that was left is kept, which is for ten seconds. */
        CHECK(full.live_samples > 10000, "%llu samples", full.live_samples);
        CHECK(!round || full.live_samples > kept / 3, "%llu samples, before %llu", full.live_samples, kept);
        kept = full.live_samples;
        each(release);
        struct cgoheap_stats empty = check_stats();
        CHECK(empty.live_samples == 0 && empty.live_bytes == 0, "%llu samples", empty.live_samples);
        /* A profile that is being made at this moment has its part for a moment. */
        for (int i = 0; i < 1000 && empty.own_bytes >= full.own_bytes; i++) usleep(10000), empty = check_stats();
        CHECK(empty.own_bytes < full.own_bytes, "%llu, then %llu bytes", full.own_bytes, empty.own_bytes);
    }
    done = 1;
    CHECK(pthread_join(looking, NULL) == 0 && pthread_join(profiling, NULL) == 0);
    CHECK(looks > 100, "%lld", looks);

    /* The program goes on as it began. */
    struct cgoheap_stats before = check_stats();
    void *block = cgoheap_malloc(100);
    struct cgoheap_stats now = check_stats();
    CHECK(block && now.live_bytes == 100 && now.live_samples == 1 && now.samples == before.samples + 1);
    cgoheap_free(block);
    CHECK(check_stats().live_samples == 0);
    return 0;
}
