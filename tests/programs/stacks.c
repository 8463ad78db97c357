/* Stacks that the thread library knows nothing of: coroutines that come and go, an alternate signal stack, a stack that
   ends at its mapping's end. Nothing is read that isn't there. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { STACK = 64 * 1024, PAGE = 4096 };

static unsigned char *map_stack(void) {
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    return stack;
}

static NOINLINE void *in_coroutine(size_t size) {
    void *block = cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

/* Calls function(size) on the stack that ends at `top`. Its unwind table is that of a function that leaves the stack
   pointer alone, as hand-made switches have it: the unwinder is led to `top`, where the next page may be missing. */
__asm__(".pushsection .text\n"
        ".type call_on, @function\n"
        "call_on:\n"
        "  .cfi_startproc\n"
        "  push %rbx\n"
        "  .cfi_adjust_cfa_offset 8\n"
        "  mov %rsp, %rbx\n"
        "  mov %rdi, %rsp\n"
        "  mov %rdx, %rdi\n"
        "  call *%rsi\n"
        "  mov %rbx, %rsp\n"
        "  pop %rbx\n"
        "  .cfi_adjust_cfa_offset -8\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size call_on, .-call_on\n"
        ".popsection\n");
extern void *call_on(void *top, void *(*function)(size_t), size_t size);

static ucontext_t here, there;
static void coroutine(int size) {
    cgoheap_free(in_coroutine((size_t)size));
    swapcontext(&there, &here);
    cgoheap_free(in_coroutine((size_t)size + 1));
}

static void run_coroutine(int size) {
    unsigned char *stack = map_stack();
    CHECK(getcontext(&there) == 0);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = STACK;
    there.uc_link = &here;
    makecontext(&there, (void (*)(void))coroutine, 1, size);
    CHECK(swapcontext(&here, &there) == 0);
    cgoheap_free(cgoheap_malloc(7)); /* on the thread's own stack in between */
    CHECK(swapcontext(&here, &there) == 0);
    munmap(stack, STACK);
}

/* The last mapped page is followed by one that must not be read. */
static void run_at_the_edge(void) {
    unsigned char *stack = map_stack();
    unsigned char *top = stack + STACK - PAGE;
    CHECK(mprotect(top, PAGE, PROT_NONE) == 0);
    cgoheap_free(call_on(top, in_coroutine, 31));
    cgoheap_free(call_on(top, cgoheap_malloc, 37)); /* the stack is empty but for the return address */
    munmap(stack, STACK);
}

static char alternate[STACK];
static int signals;
static void *last;
static void on_signal(int number) {
    (void)number;
    cgoheap_free(last);
    last = in_coroutine(4987);
    signals++;
}

static void *everything(void *unused) {
    for (int i = 0; i < 50; i++) {
        run_coroutine(100 + i);
        run_at_the_edge();
        void *block = in_coroutine(43);
        run_at_the_edge();
        cgoheap_free(block);
    }
    return unused;
}

/* Coroutines first: what is learnt of a thread's stack must not begin with one. */
int main(void) {
    cgoheap_set_rate(1);
    everything(NULL);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, everything, NULL) == 0 && pthread_join(thread, NULL) == 0);
    }

    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK(sigaltstack(&stack, NULL) == 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 100; i++) raise(SIGUSR1);
    CHECK(signals == 100);

    /* From the alternate stack on to the interrupted one; and the thread's own stack is as known as ever. */
    void *block = in_coroutine(4999);
    struct check_profile *profile = check_profile();
    const struct check_stack *stack_of_handler = check_stack_of(profile, 4987), *own = check_stack_of(profile, 4999);
    CHECK_LINE(stack_of_handler, 0, "in_coroutine", "stacks.c", 0);
    CHECK_LINE(stack_of_handler, 1, "on_signal", "stacks.c", 0);
    int in_main = 0;
    for (size_t i = 2; i < stack_of_handler->n_lines; i++)
        in_main |= strcmp(stack_of_handler->lines[i].function, "main") == 0;
    CHECK(in_main, "%s", profile->text);
    CHECK_LINE(own, 0, "in_coroutine", "stacks.c", 0);
    CHECK_LINE(own, 1, "main", "stacks.c", 0);
    cgoheap_free(block);
    cgoheap_free(last);

    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_unreadable == 4 * 50 * 11, "%llu", now.stacks_unreadable);
    CHECK(now.live_objects == 0 && now.live_bytes == 0);
    CHECK_NOTHING_LOST();
}
