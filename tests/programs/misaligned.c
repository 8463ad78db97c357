/* Callers that have lost the alignment of the stack, as JITs and hand-written assembly do: all functions serve them, sampled or
   not, and the stack of a sample is whole. */
#include "check.h"
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* function(a, b, c), with the stack pointer 8 off. */
__asm__(".pushsection .text\n"
        ".type misaligned, @function\n"
        "misaligned:\n"
        "  .cfi_startproc\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  mov %rdx, %rsi\n"
        "  mov %rcx, %rdx\n"
        "  sub $16, %rsp\n"
        "  .cfi_adjust_cfa_offset 16\n"
        "  call *%rax\n"
        "  add $16, %rsp\n"
        "  .cfi_adjust_cfa_offset -16\n"
        "  ret\n"
        "  .cfi_endproc\n"
        ".size misaligned, .-misaligned\n"
        ".popsection\n");
extern void *misaligned(void *function, uintptr_t a, uintptr_t b, uintptr_t c);

#ifdef WHOLE /* malloc itself is ours */
#define F(name) name
#else
#define F(name) cgoheap_##name
#endif
#define CALL(name, a, b, c) misaligned((void *)F(name), (uintptr_t)(a), (uintptr_t)(b), (uintptr_t)(c))

/* The very first call of this process that is ours to answer, with WHOLE as well: a constructor before all of libc's users. */
static void *first;
static void begin(void) { first = CALL(malloc, 100, 0, 0); }
__attribute__((section(".preinit_array"), used)) static void (*at_begin)(void) = begin;

static NOINLINE void *kept(size_t size) {
    void *block = CALL(malloc, size, 0, 0);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static void round_trips(void) {
    for (size_t i = 0; i < 2000; i++) {
        void *block = CALL(malloc, 10 + i, 0, 0), *aligned = NULL;
        block = CALL(realloc, block, 20 + 2 * i, 0);
        block = CALL(reallocarray, block, 3, i + 1);
        CHECK(block != NULL);
        CALL(free, block, 0, 0);
        CALL(free, CALL(calloc, 3, i, 0), 0, 0);
        CHECK(CALL(posix_memalign, &aligned, 64, i) == NULL && (uintptr_t)aligned % 64 == 0);
        CALL(free, aligned, 0, 0);
        CALL(free, CALL(aligned_alloc, 64, 64, 0), 0, 0);
        CALL(free, CALL(memalign, 64, i, 0), 0, 0);
        CALL(free, CALL(valloc, i, 0, 0), 0, 0);
#ifndef WHOLE
        char *text = CALL(strdup, "text", 0, 0), *part = CALL(strndup, "text", 2, 0);
        CHECK(strcmp(text, "text") == 0 && strcmp(part, "te") == 0);
        CALL(free, text, 0, 0);
        CALL(free, part, 0, 0);
#endif
        CHECK((size_t)CALL(malloc_usable_size, NULL, 0, 0) == 0);
    }
}

int main(void) {
    CHECK(first != NULL);
    static const size_t rates[] = {0, 1, 4096};
    for (int i = 0; i < 3; i++) {
        CHECK(cgoheap_set_rate(rates[i]) == CGOHEAP_OK);
        round_trips();
    }
    CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
    void *block = kept(4987);
    const struct check_stack *stack = check_stack_of(check_profile(), 4987);
    CHECK(strcmp(stack->lines[0].function, "misaligned") == 0);
    CHECK_LINE(stack, 1, "kept", "misaligned.c", 0);
    CHECK_LINE(stack, 2, "main", "misaligned.c", 0);
    CALL(free, block, 0, 0);
    CALL(free, first, 0, 0);
}
