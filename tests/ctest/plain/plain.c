//go:build linux && (amd64 || arm64) && cgo

#include "cgoheap.h"

#include "plain.h"

#include <pthread.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline))

/* Adding to it after a call keeps the call from becoming a jump, which would leave no frame. */
static volatile int returned;

NOINLINE static void *plain_inner(size_t size)
{
    void *block = malloc(size); /* line "inner" in the test */
    returned++;
    return block;
}

static inline __attribute__((always_inline)) void *plain_middle(size_t size)
{
    void *block = plain_inner(size); /* line "middle" */
    returned++;
    return block;
}

NOINLINE void *plain_outer(size_t size)
{
    void *block = plain_middle(size); /* line "outer" */
    returned++;
    return block;
}

NOINLINE void *plain_block(size_t size)
{
    void *block = malloc(size);
    returned++;
    return block;
}

NOINLINE void *plain_other_block(size_t size)
{
    void *block = calloc(1, size);
    returned++;
    return block;
}

NOINLINE void *plain_moved(size_t size, size_t new_size)
{
    void *block = realloc(malloc(size), new_size);
    returned++;
    return block;
}

NOINLINE void plain_release(void *block)
{
    free(block);
    returned++;
}

NOINLINE void plain_churn(int rounds, size_t size)
{
    for (int i = 0; i < rounds; i++) {
        void *volatile block = malloc(size);
        free(block);
    }
}

struct request {
    size_t size;
    void *block;
};

NOINLINE static void *plain_once(void *argument)
{
    struct request *request = argument;
    request->block = malloc(request->size);
    return NULL;
}

NOINLINE void *plain_from_own_thread(size_t size)
{
    struct request request = {size, NULL};
    pthread_t thread;
    if (pthread_create(&thread, NULL, plain_once, &request) != 0)
        return NULL;
    pthread_join(thread, NULL);
    return request.block;
}
