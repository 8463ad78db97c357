/* Frames of every shape that gcc makes, with its own unwinder as the reference. Built with many flags. */
#define CGOHEAP_NO_REDIRECT
#include "reference.h"
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static volatile int one = 1;
static void use(const volatile void *memory) { __asm__ volatile("" : : "r"(memory) : "memory"); }

static NOINLINE int leaf(int n) {
    WALK(1009);
    return n + one;
}

/* Room on the stack whose size only the call knows: the frame pointer is needed. */
static NOINLINE int with_alloca(int n) {
    char *room = alloca((size_t)(n * 100));
    memset(room, n, (size_t)(n * 100));
    use(room);
    WALK(1013);
    return leaf(n) + room[0];
}

/* The stack is realigned, so the canonical frame address is found through a saved pointer. */
static NOINLINE int with_alignment(int n) {
    char wide[256] __attribute__((aligned(128))) = {1};
    use(wide);
    WALK(1019);
    return with_alloca(n) + wide[n];
}

static NOINLINE int with_both(int n) {
    char wide[256] __attribute__((aligned(64))) = {1};
    char *room = alloca((size_t)(n * 50));
    use(wide);
    use(room);
    WALK(1021);
    return with_alignment(n) + wide[n] + room[1];
}

__attribute__((force_align_arg_pointer)) static NOINLINE int realigned(int n, ...) {
    va_list list;
    va_start(list, n);
    double sum = va_arg(list, double);
    va_end(list);
    WALK(1031);
    return with_both(n) + (int)sum;
}

/* Arguments on the stack, and every callee-saved register in use. */
static NOINLINE long many(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j) {
    long x = a * b + one, y = c * d + one, z = e * f + one, u = g * h + one, v = i * j + one, w = a * j + one;
    WALK(1033);
    int inner = realigned(3, 2.5);
    return x + y * z + u * v + w * inner;
}

static NOINLINE int recursive(int depth) {
    if (depth > 0) return recursive(depth - 1) + one;
    WALK(1039);
    return (int)many(1, 2, 3, 4, 5, 6, 7, 8, 9, depth);
}

static int compare(const void *a, const void *b) {
    static int done;
    if (!done++) {
        WALK(1049);
        recursive(100);
    }
    return *(const int *)a - *(const int *)b;
}

static void *in_thread(void *unused) {
    WALK(1051);
    return unused;
}

static void on_signal(int number) {
    (void)number;
    WALK(1061);
}

static NOINLINE void interrupted(void) {
    /* Where a compiler has no call: in the middle of a function that has not set up much of a frame. */
    __asm__ volatile("ud2");
    use(&one);
}

static void skip_instruction(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    WALK(1063);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

int main(void) {
    cgoheap_set_rate(1);
    int numbers[] = {5, 3, 9, 1, 7};
    qsort(numbers, 5, sizeof *numbers, compare);

    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0 && pthread_join(thread, NULL) == 0);

    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    struct sigaction action = {.sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, NULL);
    interrupted();

    compare_walks(11);
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_no_unwind_info + now.stacks_bad_unwind_info + now.stacks_unreadable + now.stacks_too_deep == 0);
    CHECK_NOTHING_LOST();
}
