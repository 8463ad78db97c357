/* Eight threads that allocate through every function, and free each other's blocks, while snapshots are taken: in the end
   what is in use is what is really there, to the byte. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 8, SLOTS = 1 << 16, LARGEST = 3000 };

/* A block begins with its size, so that whoever takes it knows. */
static _Atomic(uint32_t *) slots[SLOTS];
static atomic_int stop;
static atomic_ullong objects, bytes;

static void *churn(void *seed) {
    unsigned long long state = (size_t)seed, own_objects = 0, own_bytes = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        size_t size = 4 + check_random(&state) % LARGEST;
        size_t at = check_random(&state) % SLOTS;
        void *block = NULL;
        uint32_t *old;
        switch (check_random(&state) % 8) {
        case 0: block = cgoheap_calloc(1, size); break;
        case 1: CHECK(cgoheap_posix_memalign(&block, 64, size) == 0); break;
        case 2: block = cgoheap_malloc_at(size, "stress.c", (int)(check_random(&state) % 500), "made_up"); break;
        case 3: block = cgoheap_aligned_alloc(32, size); break;
        case 4: /* takes another's block and moves it */
            old = atomic_exchange(&slots[at], NULL);
            block = cgoheap_realloc(old, size);
            break;
        default: block = cgoheap_malloc(size);
        }
        CHECK(block);
        own_objects++;
        own_bytes += size;
        *(uint32_t *)block = (uint32_t)size;
        old = atomic_exchange(&slots[at], block);
        cgoheap_free(old);
    }
    atomic_fetch_add(&objects, own_objects);
    atomic_fetch_add(&bytes, own_bytes);
    return NULL;
}

int main(void) {
    cgoheap_set_rate(1);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    char path[] = "/tmp/cgoheap-stress-XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0);
    for (int i = 0; i < 20; i++) {
        usleep(100 * 1000);
        if (i % 2) CHECK(cgoheap_write_profile(path) == CGOHEAP_OK);
        cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
        CHECK(snapshot);
        cgoheap_snapshot_free(snapshot);
    }
    close(file);
    unlink(path);
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);

    unsigned long long live_objects = 0, live_bytes = 0;
    for (int i = 0; i < SLOTS; i++) {
        uint32_t *block = atomic_load(&slots[i]);
        if (!block) continue;
        live_objects++;
        live_bytes += *block;
    }
    struct cgoheap_stats now = check_stats();
    CHECK_NOTHING_LOST();
    CHECK(now.live_objects == live_objects && now.live_samples == live_objects, "%llu of %llu", now.live_objects,
          live_objects);
    CHECK(now.live_bytes == live_bytes, "%llu of %llu", now.live_bytes, live_bytes);
    CHECK(now.alloc_objects == objects && now.alloc_bytes == bytes);
    struct check_profile *profile = check_profile();
    unsigned long long sum = 0;
    for (size_t i = 0; i < profile->n; i++) sum += (unsigned long long)profile->stacks[i].inuse_bytes;
    CHECK(sum == live_bytes);
    for (int i = 0; i < SLOTS; i++) cgoheap_free(atomic_load(&slots[i]));
    now = check_stats();
    CHECK(now.live_objects == 0 && now.live_bytes == 0 && now.live_samples == 0);
}
