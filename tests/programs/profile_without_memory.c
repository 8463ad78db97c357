/* A profile is asked for where the address space ends soon: it says so, or comes out, and the program goes on. argv[1]: a file to
   write to. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
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

static void room(size_t bytes) {
    struct rlimit limit = {bytes == (size_t)-1 ? RLIM_INFINITY : address_space() + bytes, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

static NOINLINE void *walk(unsigned bits, int depth) {
    void *block;
    if (!depth) block = cgoheap_malloc(24);
    else if (bits & 1) block = walk(bits >> 1, depth - 1);
    else block = walk(bits >> 1, depth - 1);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static long long written, refused;
static const char *path;

static void *profile(void *unused) {
    (void)unused;
    int code = cgoheap_write_profile(path);
    CHECK(code == CGOHEAP_OK || code == CGOHEAP_ERR_NO_MEMORY, "%d: %s", code, cgoheap_result_text(code));
    __atomic_add_fetch(code == CGOHEAP_OK ? &written : &refused, 1, __ATOMIC_RELAXED);

    struct cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
    unsigned char *bytes = NULL;
    size_t length = 0;
    if (snapshot) {
        code = cgoheap_snapshot_encode(snapshot, 1, &bytes, &length);
        CHECK(code == CGOHEAP_OK || code == CGOHEAP_ERR_NO_MEMORY, "%d", code);
        CHECK((code == CGOHEAP_OK) == (bytes != NULL));
        cgoheap_buffer_free(bytes, length);
        cgoheap_snapshot_free(snapshot);
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    path = argv[1];
    cgoheap_set_rate(1);
    for (unsigned i = 0; i < 4000; i++) walk(i, 14);

    unsigned long long own = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t bytes = 0; bytes <= (size_t)24 << 20; bytes = bytes < 4096 ? 4096 : bytes + bytes / 3) {
            room(bytes);
            profile(NULL);
            room(-1);
        }
        struct cgoheap_stats now = check_stats();
        CHECK(!round || now.own_bytes < own + (1 << 20), "what a profile began stays: %llu, then %llu bytes", own, now.own_bytes);
        own = now.own_bytes;
    }
    CHECK(refused > 20, "%lld", refused);
    CHECK(written > 0);

    /* More threads at once than there are places for exceptions. */
    enum { THREADS = 40 };
    pthread_t threads[THREADS];
    pthread_attr_t small;
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 * 1024) == 0);
    refused = 0;
    room((size_t)THREADS * 260 * 1024 + 500 * 1024);
    int started = 0;
    for (int i = 0; i < THREADS; i++) started += pthread_create(&threads[started], &small, profile, NULL) == 0;
    for (int i = 0; i < started; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    room(-1);
    CHECK(started > 0 && refused > 0, "%d threads, %lld refused", started, refused);
    CHECK(cgoheap_write_profile(path) == CGOHEAP_OK);
    check_profile();
    return 0;
}
