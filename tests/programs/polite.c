/* What a program must not notice of the hooks: little stack taken, no floating-point flag or trap, failed calls counted as
   nothing, forks in signal handlers and in other libraries' fork handlers, frees while a fork holds our tables. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xmmintrin.h>

static void join(void *(*body)(void *), void *argument, size_t stack) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    if (stack != 0) CHECK(pthread_attr_setstacksize(&attributes, stack) == 0);
    CHECK(pthread_create(&thread, &attributes, body, argument) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Half of the smallest stack that a thread can have is the program's. */
static void *on_a_small_stack(void *unused) {
    volatile char own[6000];
    for (size_t i = 0; i < sizeof own; i += 64) own[i] = (char)i;
    cgoheap_free(cgoheap_malloc(24));
    return (void *)(uintptr_t)(own[64] == 0 ? 1 : 0), unused;
}

/* MXCSR: round down, trap inexact results, no flag raised. At a rate that gives weights with fractions, which are added
   to and taken off sums when blocks from before the peak go. */
static void *without_floating_point(void *rate) {
    enum { BLOCKS = 3000 };
    static void *blocks[BLOCKS];
    unsigned int mine = (_mm_getcsr() & ~(_MM_EXCEPT_MASK | _MM_MASK_INEXACT | _MM_ROUND_MASK)) | _MM_ROUND_DOWN;
    unsigned int before = _mm_getcsr();
    cgoheap_set_rate(*(size_t *)rate);
    _mm_setcsr(mine);
    for (int i = 0; i < BLOCKS; i++) blocks[i] = cgoheap_malloc(1009);
    for (int i = 0; i < BLOCKS / 2; i++) CHECK(cgoheap_realloc(blocks[i], SIZE_MAX / 4) == NULL);
    for (int i = 0; i < BLOCKS; i++) cgoheap_free(blocks[i]);
    unsigned int after = _mm_getcsr();
    CHECK(after == mine, "%#x has become %#x", mine, after);
    /* Looking at the numbers computes with fractions in earnest. */
    struct cgoheap_stats stats;
    CHECK(cgoheap_read_stats(&stats, sizeof stats) == CGOHEAP_OK);
    CHECK(cgoheap_write_profile("/dev/null") == CGOHEAP_OK);
    after = _mm_getcsr();
    _mm_setcsr(before);
    CHECK(after == mine, "%#x has become %#x", mine, after);
    cgoheap_set_rate(1);
    return NULL;
}

/* A request that fails takes its part of the line of bytes, but what it hit must not be missing from the others. */
static void *failing_malloc(void *block) {
    (void)block;
    return cgoheap_malloc(400000);
}
static void *failing_calloc(void *block) {
    (void)block;
    return cgoheap_calloc(4, 100000);
}
static void *failing_realloc(void *block) { return cgoheap_realloc(block, 400000); }
static void *failing_reallocarray(void *block) { return cgoheap_reallocarray(block, 4, 100000); }
static void *failing_posix_memalign(void *block) {
    (void)block;
    void *none = NULL;
    CHECK(cgoheap_posix_memalign(&none, 64, 400000) != 0);
    return none;
}

static void failed_calls_bias_nothing(void *(*failing)(void *)) {
    enum { BLOCKS = 400000, SIZE = 4096 };
    cgoheap_set_rate(1); /* our tables get their memory before there is none */
    for (int i = 0; i < 1000; i++) cgoheap_free(cgoheap_malloc(SIZE));
    cgoheap_set_rate(512 << 10);
    void *block = cgoheap_malloc(16);
    struct cgoheap_stats before = check_stats();
    struct rlimit limit, old;
    getrlimit(RLIMIT_AS, &old);
    limit = old;
    limit.rlim_cur = 1 << 20; /* less than there is: nothing large can be had */
    setrlimit(RLIMIT_AS, &limit);
    for (int i = 0; i < BLOCKS; i++) {
        void *volatile none = failing(block);
        CHECK(none == NULL);
        cgoheap_free(cgoheap_malloc(SIZE));
    }
    setrlimit(RLIMIT_AS, &old);
    struct cgoheap_stats after = check_stats();
    CHECK(after.samples_no_memory == 0);
    /* The estimate of 1.6 GB from some 3,100 samples has a standard error of 1.8 %; six of them are 2 in a billion. */
    double estimate = (double)(after.alloc_bytes - before.alloc_bytes) / ((double)BLOCKS * SIZE);
    CHECK(estimate > 0.89 && estimate < 1.11, "estimate / truth = %f", estimate);
    cgoheap_free(block);
    cgoheap_set_rate(1);
}

enum { FORKS = 300 };
static volatile sig_atomic_t forks;
static void fork_here(int signal) {
    (void)signal;
    if (forks >= FORKS) return; /* where a fork takes longer than the timer, handlers would run for ever */
    pid_t child = fork();
    if (child == 0) _exit(0);
    if (child > 0) forks = forks + 1;
}

static void *allocate_until_forked(void *unused) {
    for (int round = 0; forks < FORKS && round < 20000000; round++) {
        void *block = cgoheap_malloc(64);
        cgoheap_free(block);
        if (round % 64 == 0) {
            raise(SIGALRM);
            /* Interrupts hooks too, which raise doesn't. Once, or nothing but handlers would run on a busy machine. */
            struct itimerval soon = {{0, 0}, {0, 10 + round / 64 % 300}};
            setitimer(ITIMER_REAL, &soon, NULL);
        }
        while (round % 64 == 0 && waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
    return unused;
}

static void forks_in_handlers_end(void) {
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART}, old;
    sigaction(SIGALRM, &action, &old);
    allocate_until_forked(NULL);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(forks >= FORKS);
    sigaction(SIGALRM, &old, NULL);
    while (waitpid(-1, NULL, 0) > 0) {
    }
}

/* A handler that runs while our tables are held for the fork: allocates, and frees a block that was sampled. */
static void *for_the_handler[8];
static int left;
static void other_librarys_handler(void) {
    cgoheap_free(cgoheap_malloc(31));
    if (left > 0) cgoheap_free(for_the_handler[--left]);
}

static void handlers_of_others_dont_wait_for_us(void) {
    /* The hooks' own handlers are registered before main; this one runs inside them. */
    for (left = 0; left < 8; left++) for_the_handler[left] = cgoheap_malloc(307);
    CHECK_CHANGE(8, 8 * 307, 8, 8 * 307);
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, NULL, 0);
    }
    CHECK(left == 0);
    struct cgoheap_stats stats = check_stats();
    CHECK(stats.frees_lock_busy == 0 && stats.samples_lock_busy == 0);
    check_stats(); /* who takes the totals takes out what waits */
}

int main(int argc, char **argv) {
    (void)argc;
    /* First: a thread's arena would serve what the limit forbids. */
    void *(*failing[])(void *) = {failing_malloc, failing_calloc, failing_realloc, failing_reallocarray,
                                  failing_posix_memalign};
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) failed_calls_bias_nothing(failing[i]);
    cgoheap_set_rate(1);
    /* The unoptimised library has frames several times as large: users don't get that one. */
    if (strstr(argv[0], "-debug-") == NULL) join(on_a_small_stack, NULL, PTHREAD_STACK_MIN);
    forks_in_handlers_end();
    struct cgoheap_stats before = check_stats();
    CHECK(before.live_bytes == 0, "%llu bytes are live", before.live_bytes);
    /* Before the hooks' prepare and after their release, as a library's handlers registered later run. */
    pthread_atfork(other_librarys_handler, other_librarys_handler, NULL);
    CHECK_CHANGE(before.alloc_objects, before.alloc_bytes, 0, 0);
    handlers_of_others_dont_wait_for_us();
    CHECK(check_stats().live_bytes == 0, "%llu bytes are live", check_stats().live_bytes);
    for (size_t rate = 1; rate < 10000; rate *= 999) join(without_floating_point, &rate, 0);
    return 0;
}
