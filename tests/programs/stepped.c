/* A profiler's signal may come between any two instructions of ours, and its handler unwinds by the tables: so does this
   one, after each instruction of the hooks' entries. It must find main. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>
#include <unwind.h>

#define LONGEST_ENTRY 128

static uintptr_t main_begins, main_ends;
static volatile int found, frames, looked, lost;
static volatile uintptr_t lost_at;

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *unused) {
    (void)unused;
    uintptr_t ip = _Unwind_GetIP(context);
    found |= ip >= main_begins && ip < main_ends;
    frames = frames + 1;
    return frames < 50 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static int in_an_entry(uintptr_t ip) {
    const uintptr_t entries[] = {(uintptr_t)cgoheap_malloc, (uintptr_t)cgoheap_calloc, (uintptr_t)cgoheap_realloc,
                                 (uintptr_t)cgoheap_free, (uintptr_t)cgoheap_strdup};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (ip - entries[i] < LONGEST_ENTRY) return 1;
    return 0;
}

static void stepped(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    uintptr_t ip = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    if (!in_an_entry(ip)) return;
    found = frames = 0;
    _Unwind_Backtrace(visit, NULL);
    looked = looked + 1;
    if (!found) lost = lost + 1, lost_at = ip;
}

/* The trap flag. */
#define STEP(on) __asm__ volatile("pushfq; andq $~0x100, (%%rsp); orq %0, (%%rsp); popfq" ::"i"(on ? 0x100 : 0) : "memory", "cc")

static NOINLINE void each(void) {
    STEP(1);
    void *block = cgoheap_malloc(100);
    block = cgoheap_realloc(block, 200);
    cgoheap_free(block);
    cgoheap_free(cgoheap_calloc(3, 7));
    cgoheap_free(cgoheap_strdup("x"));
    STEP(0);
}

__attribute__((section("main_itself"))) int main(void) {
    extern char __start_main_itself[], __stop_main_itself[];
    main_begins = (uintptr_t)__start_main_itself, main_ends = (uintptr_t)__stop_main_itself;
    _Unwind_Backtrace(visit, NULL); /* may load a library */
    CHECK(found);
    CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
    cgoheap_free(cgoheap_malloc(1));
    struct sigaction action = {.sa_sigaction = stepped, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    each();
    int sampled = looked;
    CHECK(cgoheap_set_rate(1 << 30) == CGOHEAP_OK);
    cgoheap_free(cgoheap_malloc(1));
    each();
    CHECK(sampled > 80 && looked > sampled + 40, "%d, %d instructions", sampled, looked - sampled);
    CHECK(lost == 0, "%d times, the last at malloc%+td, free%+td", lost, (char *)lost_at - (char *)cgoheap_malloc,
          (char *)lost_at - (char *)cgoheap_free);
    return 0;
}
