#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

/* A block knows its size and the sum of the two: another's block, or one that was freed, is unlikely to. */
struct block {
    size_t size;
    uintptr_t check;
};
enum { SLOTS = 20000, LARGE = 4096 };
static _Atomic(struct block *) slot[SLOTS], large[LARGE];
static atomic_int bad, stop;

static struct block *sign(struct block *block, size_t size) {
    if (block == NULL)
        abort();
    block->size = size;
    block->check = (uintptr_t)block ^ size;
    return block;
}

static void verify(struct block *block) {
    if (block->check != ((uintptr_t)block ^ block->size))
        atomic_fetch_add(&bad, 1);
}

__attribute__((noinline)) void stress_churn(unsigned seed, int rounds) {
    while (rounds-- > 0) {
        seed = seed * 1664525 + 1013904223;
        _Atomic(struct block *) *place = &slot[(seed >> 8) % SLOTS];
        size_t size = sizeof(struct block) + (seed >> 10) % ((seed & 255) == 7 ? 200000 : 300);
        struct block *taken = atomic_exchange(place, NULL), *fresh;
        void *memory;
        if (taken != NULL)
            verify(taken);
        switch ((seed >> 20) % 6) {
        case 0:
            taken = sign(realloc(taken, size), size);
            break;
        case 1:
            free(taken);
            taken = sign(calloc(1, size), size);
            break;
        case 2:
            free(taken);
            if (posix_memalign(&memory, 64, size) != 0)
                abort();
            taken = sign(memory, size);
            break;
        case 3:
            free(taken);
            taken = NULL;
            break;
        default:
            fresh = sign(malloc(size), size);
            free(taken);
            taken = fresh;
        }
        /* Somebody may have put one there meanwhile: that one is ours now. */
        fresh = atomic_exchange(place, taken);
        free(fresh);
    }
}

void stress_replace_large(unsigned first, int count) {
    for (unsigned i = first; i < first + (unsigned)count; i++) {
        size_t size = 32768 + i % LARGE * 7919 % 32768;
        struct block *fresh = malloc(size), *old;
        if (fresh == NULL)
            abort();
        memset(fresh, 1, size);
        old = atomic_exchange(&large[i % LARGE], sign(fresh, size));
        if (old != NULL)
            verify(old);
        free(old);
    }
}

/* The two calls stay two, with a return address each, and neither is a tail call. */
void stress_descend(unsigned path, int depth, unsigned seed, int rounds) {
    if (depth == 0) {
        stress_churn(seed, rounds);
        __asm__ volatile("");
    } else if (path & 1) {
        stress_descend(path >> 1, depth - 1, seed, rounds);
        __asm__ volatile("# odd");
    } else {
        stress_descend(path >> 1, depth - 1, seed, rounds);
        __asm__ volatile("# even");
    }
}

static int rounds_each;
static void *churner(void *seed) {
    stress_churn((unsigned)(uintptr_t)seed, rounds_each);
    return NULL;
}

void stress_threads(int threads, int rounds) {
    pthread_t *running = calloc(threads, sizeof *running);
    rounds_each = rounds;
    for (unsigned generation = 0; !atomic_load(&stop); generation++) {
        for (int i = 0; i < threads; i++)
            if (pthread_create(&running[i], NULL, churner, (void *)(uintptr_t)(generation * 1000 + i)) != 0)
                abort();
        for (int i = 0; i < threads; i++)
            pthread_join(running[i], NULL);
    }
    free(running);
}

void stress_stop(void) { atomic_store(&stop, 1); }

void stress_live(long *objects, long *bytes) {
    *objects = *bytes = 0;
    for (int i = 0; i < SLOTS; i++) {
        struct block *block = atomic_load(&slot[i]);
        if (block != NULL) {
            verify(block);
            *objects += 1;
            *bytes += block->size;
        }
    }
}

void stress_free_all(void) {
    for (int i = 0; i < SLOTS; i++)
        free(atomic_exchange(&slot[i], NULL));
}

int stress_bad(void) { return atomic_load(&bad); }

int stress_library(const char *file, int times) {
    while (times-- > 0) {
        void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            return 1;
        void (*run)(void (*)(unsigned, int)) = (void (*)(void (*)(unsigned, int)))dlsym(library, "plugin_run");
        run(stress_churn);
        if (dlclose(library) != 0)
            return 1;
    }
    return 0;
}
