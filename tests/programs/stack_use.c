/* How much of its caller's stack a hook takes: the stack below the caller is painted before each call, and what isn't paint any
   more was used. The backing allocator takes next to nothing, so all is ours. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include "cgoheap_backing.h"
#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1024 };

/* function(a, b, c), b once more as the fourth argument, below the caller's frame; `used` is how far below. */
struct call {
    void *function;
    uintptr_t a, b, c;
    void *result;
    size_t used;
};
__asm__(".pushsection .text\n"
        ".type measure, @function\n"
        "measure:\n"
        "  .cfi_startproc\n"
        "  push %rbx\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  .cfi_rel_offset rbx, 0\n"
        "  mov %rdi, %rbx\n"
        "  lea -16384(%rsp), %rdi\n"
        "  mov $16384, %ecx\n"
        "  mov $0x5a, %al\n"
        "  rep stosb\n"
        "  mov 8(%rbx), %rdi\n"
        "  mov 16(%rbx), %rsi\n"
        "  mov 24(%rbx), %rdx\n"
        "  mov %rsi, %rcx\n"
        "  call *(%rbx)\n"
        "  mov %rax, 32(%rbx)\n"
        "  lea -16384(%rsp), %rdi\n"
        "  mov $16384, %ecx\n"
        "  mov $0x5a, %al\n"
        "  repe scasb\n"
        "  inc %rcx\n"
        "  mov %rcx, 40(%rbx)\n"
        "  pop %rbx\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  .cfi_restore rbx\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size measure, .-measure\n"
        ".popsection\n");
extern void measure(struct call *call);

static const char *what = "the first call";
static size_t deepest, calls;
static const char *deepest_in, *deepest_when;

static NOINLINE void *measured(const char *name, void *function, uintptr_t a, uintptr_t b, uintptr_t c) {
    struct call call = {function, a, b, c, NULL, 0};
    measure(&call);
    calls++;
    if (call.used > deepest) {
        deepest = call.used;
        deepest_in = name;
        deepest_when = what;
    }
    return call.result;
}
#define CALL(name, a, b, c)                                                                                            \
    measured(#name, (void *)cgoheap_##name, (uintptr_t)(a), (uintptr_t)(b), (uintptr_t)(c))

/* The backing allocator: blocks of powers of two, never given back but the last one. Its functions are leaves. */
static unsigned char *room;
static size_t used;
enum { ROOM = 256 << 20 };
static void *take(size_t alignment, size_t size) {
    size_t start = (used + 16 + alignment - 1) & ~(alignment - 1);
    if (size > ROOM - start)
        return NULL;
    used = start + size;
    *(size_t *)(room + start - 8) = size;
    return room + start;
}
static void *own_malloc(size_t size) { return take(16, size); }
static void own_free(void *block) { (void)block; }
static void *own_calloc(size_t count, size_t size) { return take(16, count * size); }
static void *own_realloc(void *block, size_t size) {
    (void)block;
    return size > ROOM ? NULL : take(16, size);
}
static void *own_reallocarray(void *block, size_t count, size_t size) {
    (void)block;
    return take(16, count * size);
}
static int own_posix_memalign(void **out, size_t alignment, size_t size) {
    *out = take(alignment, size);
    return 0;
}
static void *own_memalign(size_t alignment, size_t size) { return take(alignment, size); }
static void *own_valloc(size_t size) { return take(4096, size); }
static size_t own_usable_size(void *block) { return block ? ((size_t *)block)[-1] : 0; }
struct cgoheap_backing_functions cgoheap_backing = {
    own_malloc,   own_free,     own_calloc, own_realloc, own_reallocarray, own_posix_memalign,
    own_memalign, own_memalign, own_valloc, own_valloc,  own_usable_size,
};

static NOINLINE void each_function(void) {
    void *block = CALL(malloc, 100, 0, 0), *aligned = NULL;
    block = CALL(realloc, block, 200, 0);
    CHECK(CALL(realloc, block, (size_t)ROOM + 1, 0) == NULL); /* and is put back */
    block = CALL(reallocarray, block, 3, 100);
    CALL(free, block, 0, 0);
    CALL(free, CALL(calloc, 3, 10, 0), 0, 0);
    CHECK(CALL(posix_memalign, &aligned, 64, 100) == NULL);
    CALL(free, aligned, 0, 0);
    CALL(free, CALL(aligned_alloc, 64, 64, 0), 0, 0);
    CALL(free, CALL(memalign, 64, 100, 0), 0, 0);
    CALL(free, CALL(valloc, 100, 0, 0), 0, 0);
    CALL(free, CALL(pvalloc, 100, 0, 0), 0, 0);
    CALL(free, CALL(strdup, "text", 0, 0), 0, 0);
    CALL(free, CALL(strndup, "text", 2, 0), 0, 0);
    CALL(malloc_usable_size, NULL, 0, 0);
    /* The functions of the macros, as far as their arguments fit. */
    CALL(free, CALL(malloc_at, 100, "file", 1), 0, 0);
    CALL(free, CALL(strdup_at, "text", "file", 1), 0, 0);
}

static void *in_thread(void *unused) {
    (void)unused;
    what = "a thread's first call";
    CALL(malloc, 10, 0, 0);
    what = "a thread's second call";
    CALL(malloc, 10, 0, 0);
    return NULL;
}

/* Every stack so far was whole. */
static void check_whole(void) {
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_no_room == 0 && now.samples_lock_busy == 0 && now.samples_no_memory == 0, "%s", what);
    CHECK(now.stacks_bad_unwind_info == 0, "%s", what);
    CHECK(now.stacks_no_unwind_info == 0, "%s", what);
    CHECK(now.stacks_unreadable == 0, "%s", what);
}

static int by_libc(const void *a, const void *b) {
    CALL(malloc, 10, 0, 0);
    return *(const int *)a - *(const int *)b;
}

static void handler(int signal) {
    (void)signal;
    each_function();
}

/* A frame whose table needs an expression: the stack is realigned, and of a size that isn't known before. */
static NOINLINE void realigned(size_t size) {
    _Alignas(128) char aligned[128];
    char *room_below = alloca(size);
    __asm__ volatile("" ::"r"(aligned), "r"(room_below) : "memory");
    each_function();
    __asm__ volatile("" ::"r"(aligned), "r"(room_below) : "memory");
}

/* 2^depth stacks. */
static NOINLINE void many_stacks(unsigned number, int depth) {
    if (depth == 0) {
        CALL(malloc, 24, 0, 0);
        __asm__ volatile("");
    } else if (number & 1) {
        many_stacks(number >> 1, depth - 1);
        __asm__ volatile("");
    } else {
        many_stacks(number >> 1, depth - 1);
        __asm__ volatile("" ::: "memory");
    }
}

static void *alternate(void *unused) {
    (void)unused;
    static _Alignas(16) char stack[64 << 10];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&alternate, NULL) == 0);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    CHECK(pthread_kill(pthread_self(), SIGUSR2) == 0);
    return NULL;
}

static void run_thread(void *(*function)(void *)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, function, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(int argc, char **argv) {
    (void)argv;
    static unsigned char memory[ROOM];
    room = memory;
    /* Reads the environment, which has a setting that nobody knows, and warns of it. */
    CALL(malloc, 100, 0, 0);
    check_whole();
    what = "main's first calls";
    each_function();
    check_whole();
    what = "the same calls again";
    each_function();
    run_thread(in_thread);

    check_whole();
    what = "an object not seen before"; /* libc */
    int numbers[] = {3, 1, 2, 5, 4};
    qsort(numbers, 5, sizeof *numbers, by_libc);

    check_whole();
    what = "a handler's";
    signal(SIGUSR1, handler);
    CHECK(raise(SIGUSR1) == 0);
    check_whole();
    what = "a handler's on a stack of its own";
    run_thread(alternate);
    check_whole();
    what = "a realigned stack's";
    realigned((size_t)argc * 100);

    check_whole();
    what = "growing tables'";
    enum { BLOCKS = 20000 };
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = CALL(malloc, 40, 0, 0);
    for (int i = 0; i < BLOCKS; i++)
        CALL(free, blocks[i], 0, 0);
    check_whole();
    what = "many stacks'";
    for (unsigned number = 0; number < 1 << 13; number++)
        many_stacks(number, 13);

    check_whole();
    what = "a count's";
    unsigned char running = 1;
    unsigned long long mark = 0;
    int count;
    CHECK(cgoheap_start_count(&running, &mark, &count) == CGOHEAP_OK);
    each_function();
    unsigned long long counted[2];
    CHECK(cgoheap_stop_count(count, &counted[0], &counted[1]) == CGOHEAP_OK && counted[0] > 10);

    check_whole();
    what = "sampled"; /* with a distance to draw */
    CHECK(cgoheap_set_rate(64) == CGOHEAP_OK);
    for (int i = 0; i < 50; i++)
        each_function();

    check_whole();
    printf("%zu calls; at most %zu bytes: %s, %s\n", calls, deepest, deepest_when, deepest_in);
    CHECK(deepest > 200, "nothing was measured: %zu", deepest);
    CHECK(deepest <= MOST, "%zu bytes: %s, %s", deepest, deepest_when, deepest_in);
    return 0;
}
