/* Stacks on which libc's malloc gets by: coroutines of 4 KiB and signal handlers of 8 KiB, each above a page that can't be touched. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

static char *guarded(size_t size) {
    char *low = mmap(NULL, 4096 + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(low != MAP_FAILED && mprotect(low, 4096, PROT_NONE) == 0);
    return low + 4096;
}

static NOINLINE void work(void) {
    void *volatile block = malloc(100);
    block = realloc(block, 3000);
    free(block);
    block = calloc(10, 10);
    free(block);
    void *aligned;
    CHECK(posix_memalign(&aligned, 64, 100) == 0);
    free(aligned);
}

static ucontext_t home, there;
static void coroutine(void) {
    work();
    CHECK(swapcontext(&there, &home) == 0);
    work();
}

static void run_coroutine(void) {
    CHECK(getcontext(&there) == 0);
    there.uc_stack.ss_sp = guarded(4096);
    there.uc_stack.ss_size = 4096;
    there.uc_link = &home;
    makecontext(&there, coroutine, 0);
    CHECK(swapcontext(&home, &there) == 0);
    CHECK(swapcontext(&home, &there) == 0);
}

static volatile sig_atomic_t handled;
static void handler(int signal) {
    (void)signal;
    work();
    handled++;
}

/* The first samples of a thread as well. */
static void *run_handler(void *unused) {
    (void)unused;
    stack_t alternate = {.ss_sp = guarded(8192), .ss_size = 8192}, none = {.ss_flags = SS_DISABLE};
    CHECK(sigaltstack(&alternate, NULL) == 0);
    CHECK(pthread_kill(pthread_self(), SIGUSR2) == 0);
    CHECK(sigaltstack(&none, NULL) == 0);
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    run_coroutine();
    run_handler(NULL);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, run_handler, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        run_coroutine();
    }
    CHECK(handled == 21);
    CHECK(check_stats().samples > 200);
    CHECK_NOTHING_LOST();
    return 0;
}
