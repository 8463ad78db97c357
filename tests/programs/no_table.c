/* Code without unwind tables: machine code in a page of its own, and assembly without .cfi. The stack ends there, cleanly. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <string.h>
#include <sys/mman.h>

/* void *by_assembly(void *(*function)(size_t), size_t size) */
__asm__(".pushsection .text\n"
        ".type by_assembly, @function\n"
        "by_assembly:\n"
        "  push %rbp\n"
        "  xor %ebp, %ebp\n" /* and the frame pointer leads nowhere */
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  call *%rax\n"
        "  pop %rbp\n"
        "  ret\n"
        ".size by_assembly, .-by_assembly\n"
        ".popsection\n");
extern void *by_assembly(void *(*function)(size_t), size_t size);

static NOINLINE void *named_leaf(size_t size) {
    void *block = cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

int main(void) {
    cgoheap_set_rate(1);
    by_assembly(named_leaf, 3001);
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_no_unwind_info == 1, "%llu", now.stacks_no_unwind_info);

    /* mov rax, rdi; mov rdi, rsi; sub rsp, 8; call rax; add rsp, 8; ret */
    static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x83, 0xec, 0x08,
                                         0xff, 0xd0, 0x48, 0x83, 0xc4, 0x08, 0xc3};
    unsigned char *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    memcpy(page, code, sizeof code);
    void *(*generated)(void *(*)(size_t), size_t);
    memcpy(&generated, &page, sizeof generated);
    generated(named_leaf, 3011);
    generated(cgoheap_malloc, 3019); /* the generated code is the leaf */
    now = check_stats();
    CHECK(now.stacks_no_unwind_info == 3 && now.live_bytes == 3001 + 3011 + 3019);
    CHECK(now.stacks_unreadable + now.stacks_bad_unwind_info == 0);

    struct check_profile *profile = check_profile();
    const struct check_stack *stack = check_stack_of(profile, 3001);
    CHECK_LINE(stack, 0, "named_leaf", "no_table.c", 0);
    CHECK(stack->n_pcs == 2 && strcmp(stack->lines[1].function, "by_assembly") == 0);
    CHECK(strcmp(stack->lines[2].function, "[stack cut: no unwind table]") == 0);
    stack = check_stack_of(profile, 3011);
    CHECK(stack->n_pcs == 2 && stack->pcs[1] == (unsigned long long)(page + 12));
    stack = check_stack_of(profile, 3019);
    CHECK(stack->n_pcs == 1 && stack->pcs[0] == (unsigned long long)(page + 12));
    CHECK_NOTHING_LOST();
}
