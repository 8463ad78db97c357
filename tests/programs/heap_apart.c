/* Profiles by many threads leave nothing in the program's heap, in whichever arena; what they need is counted and given back. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <regex.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 16 };
static pthread_barrier_t barrier;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static NOINLINE void *new_stack(long path, int depth) {
    void *block = !depth ? cgoheap_malloc(50) : path & 1 ? new_stack(path >> 1, depth - 1) : new_stack(path >> 1, depth - 1);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static int compare(const void *a, const void *b) {
    new_stack(0, 0); /* a frame of libc's is on the stack */
    return (a > b) - (a < b);
}

static int pick(const struct dirent *entry) {
    new_stack(0, 1);
    return entry->d_name[0] == 'p';
}

static size_t held_by_arenas(void) { return mallinfo2().arena + mallinfo2().hblkhd; }

static long resident(void) {
    char line[200];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kib);
    fclose(file);
    return kib;
}

static void *one(void *number) {
    free(malloc(1000)); /* this thread has its arena */
    pthread_barrier_wait(&barrier);
    pthread_mutex_lock(&one_at_a_time);
    /* Functions that no profile has named, so that debug information is read. */
    long i = (long)number;
    new_stack(i, 6);
    int key[2] = {1, 2};
    void *root = NULL;
    if (i % 4 == 0) qsort(key, 2, sizeof *key, compare);
    if (i % 4 == 1) tsearch(key, &root, compare), tsearch(key + 1, &root, compare);
    if (i % 4 == 2) {
        struct dirent **list;
        int n = scandir("/", &list, pick, alphasort);
        while (n > 0) free(list[--n]);
        if (n == 0) free(list);
    }
    if (i % 4 == 3) lfind(key, key, &(size_t){2}, sizeof *key, compare);
    size_t before = held_by_arenas(), in_use = mallinfo2().uordblks;
    struct cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
    unsigned char *bytes = NULL;
    size_t length = 0;
    CHECK(snapshot && cgoheap_snapshot_encode(snapshot, 0, &bytes, &length) == CGOHEAP_OK && length > 100);
    cgoheap_buffer_free(bytes, length);
    cgoheap_snapshot_free(snapshot);
    CHECK(held_by_arenas() == before, "arenas had %zu bytes, now %zu", before, held_by_arenas());
    CHECK(mallinfo2().uordblks == in_use, "%zu bytes were in use, now %zu", in_use, mallinfo2().uordblks);
    pthread_mutex_unlock(&one_at_a_time);
    pthread_barrier_wait(&barrier);
    return NULL;
}

int main(void) {
    cgoheap_set_rate(1);
    new_stack(0, 3);
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++) CHECK(pthread_create(threads + i, NULL, one, (void *)i) == 0);
    for (long i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    struct cgoheap_stats stats = check_stats();
    CHECK(stats.own_bytes < (8 << 20), "%llu bytes of our own stay", stats.own_bytes);
    long kib = resident();
    CHECK(kib < 16 * 1024, "%ld KiB are resident", kib);
    return 0;
}
