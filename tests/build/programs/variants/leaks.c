#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "leaks.h"

extern void goBack(int n, int size);
#ifndef reallocarray                                         /* as a macro it is cgoheap.h's */
extern void *reallocarray(void *, size_t count, size_t size); /* glibc's headers before 2.26 have none; go/interpose has */
#endif

/* What keeps blocks from being optimised away. */
void *volatile leaks_sink;

__attribute__((constructor, noinline)) static void early_leak(void) {
    for (int i = 0; i < EARLY_BLOCKS; i++)
        leaks_sink = malloc(EARLY_SIZE);
}

int library_leak(const char *file, int n, int size) {
    void *library = dlopen(file, RTLD_NOW);
    if (library == NULL)
        return -1;
    void (*leak)(int, int) = (void (*)(int, int))dlsym(library, "plugin_leak");
    leak(n, size);
    return 0;
}

__attribute__((noinline)) void inner_leak(int size) {
    leaks_sink = malloc(size);
    __asm__ volatile("" ::: "memory"); /* no tail call */
}

__attribute__((noinline)) void callback_leak(int n, int size) {
    goBack(n, size);
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void family_leak(int n) {
    static char text[FAMILY_STRDUP];
    static wchar_t wide[FAMILY_WCSDUP / sizeof(wchar_t)];
    memset(text, 'x', FAMILY_STRDUP - 1);
    wmemset(wide, L'x', FAMILY_WCSDUP / sizeof(wchar_t) - 1);
    for (int i = 0; i < n; i++) {
        void *block = NULL;
        leaks_sink = calloc(1, FAMILY_CALLOC);
        leaks_sink = realloc(NULL, FAMILY_REALLOC);
        leaks_sink = malloc(100);
        leaks_sink = realloc(leaks_sink, FAMILY_GROWN);
        leaks_sink = reallocarray(NULL, 1, FAMILY_REALLOCARRAY);
        if (posix_memalign(&block, 64, FAMILY_POSIX_MEMALIGN) == 0)
            leaks_sink = block;
        leaks_sink = aligned_alloc(16, FAMILY_ALIGNED_ALLOC);
        leaks_sink = memalign(128, FAMILY_MEMALIGN);
        leaks_sink = valloc(FAMILY_VALLOC);
        leaks_sink = pvalloc(FAMILY_PVALLOC);
        leaks_sink = strdup(text);
        leaks_sink = strndup(text, FAMILY_STRNDUP - 1);
        leaks_sink = wcsdup(wide);
    }
}

static int thread_blocks, thread_size;
__attribute__((noinline)) static void *thread_main(void *unused) {
    for (int i = 0; i < thread_blocks; i++)
        leaks_sink = malloc(thread_size);
    return unused;
}
void thread_leak(int n, int size) {
    pthread_t thread;
    thread_blocks = n, thread_size = size;
    pthread_create(&thread, NULL, thread_main, NULL);
    pthread_join(thread, NULL);
}

/* The first and last byte of each block hold its number: blocks that overlap, or that another allocator owns, show up. */
int load(int rounds, unsigned seed) {
    enum { SLOTS = 64 };
    unsigned char *block[SLOTS] = {0};
    size_t size[SLOTS] = {0};
    int wrong = 0;
    for (int i = 0; i < rounds; i++) {
        seed = seed * 1664525 + 1013904223;
        unsigned slot = (seed >> 8) % SLOTS;
        size_t wanted = 1 + (seed >> 12) % ((seed >> 28) == 0 ? 300000 : 500);
        unsigned char mark = (unsigned char)slot;
        if (block[slot] != NULL && (block[slot][0] != mark || block[slot][size[slot] - 1] != mark))
            wrong++;
        void *fresh = NULL;
        switch ((seed >> 16) % 8) {
        case 0: /* realloc */
            if (block[slot] != NULL) {
                fresh = realloc(block[slot], wanted);
                if (fresh != NULL && *(unsigned char *)fresh != mark)
                    wrong++;
                block[slot] = NULL;
                break;
            } /* fall through */
        case 1: fresh = malloc(wanted); break;
        case 2:
            fresh = calloc(1, wanted);
            if (fresh != NULL && *(unsigned char *)fresh != 0)
                wrong++;
            break;
        case 3:
            if (posix_memalign(&fresh, 64, wanted) != 0 || (uintptr_t)fresh % 64 != 0)
                wrong++;
            break;
        case 4: fresh = aligned_alloc(256, (wanted + 255) / 256 * 256); break;
        case 5: fresh = memalign(32, wanted); break;
        case 6:
            fresh = malloc(wanted);
            if (fresh != NULL && malloc_usable_size(fresh) < wanted)
                wrong++;
            break;
        case 7: {
            char text[500];
            memset(text, 'x', sizeof text);
            wanted = 1 + wanted % sizeof text;
            text[wanted - 1] = 0;
            fresh = strdup(text);
            break;
        }
        }
        free(block[slot]);
        block[slot] = fresh, size[slot] = wanted;
        if (fresh == NULL)
            wrong++;
        else
            block[slot][0] = block[slot][wanted - 1] = mark;
    }
    for (int i = 0; i < SLOTS; i++)
        free(block[i]);
    return wrong;
}
