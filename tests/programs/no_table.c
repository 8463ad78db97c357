/* Code without unwind tables: machine code in a page of its own, and assembly without .cfi. The stack goes on by the frame pointer
   if that leads to a return address, and the profile says so; else it ends there, cleanly. */
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

/* The same, with frame pointers: one function, and one that calls it; and one whose frame pointer leads to a frame that is none. */
__asm__(".pushsection .text\n"
        ".type with_frame_pointer, @function\n"
        "with_frame_pointer:\n"
        "  push %rbp\n"
        "  mov %rsp, %rbp\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  call *%rax\n"
        "  pop %rbp\n"
        "  ret\n"
        ".size with_frame_pointer, .-with_frame_pointer\n"
        ".type two_with_frame_pointer, @function\n"
        "two_with_frame_pointer:\n"
        "  push %rbp\n"
        "  mov %rsp, %rbp\n"
        "  call with_frame_pointer\n"
        "  pop %rbp\n"
        "  ret\n"
        ".size two_with_frame_pointer, .-two_with_frame_pointer\n"
        ".type with_false_frame_pointer, @function\n"
        "with_false_frame_pointer:\n"
        "  push %rbp\n"
        "  lea with_frame_pointer(%rip), %rax\n" /* the start of a function: code, but behind no call */
        "  push %rax\n"
        "  push %rsp\n"
        "  mov %rsp, %rbp\n"
        "  push %rax\n"
        "  mov %rdi, %rax\n"
        "  mov %rsi, %rdi\n"
        "  call *%rax\n"
        "  add $24, %rsp\n"
        "  pop %rbp\n"
        "  ret\n"
        ".size with_false_frame_pointer, .-with_false_frame_pointer\n"
        ".popsection\n");
extern void *with_frame_pointer(void *(*function)(size_t), size_t size);
extern void *two_with_frame_pointer(void *(*function)(size_t), size_t size);
extern void *with_false_frame_pointer(void *(*function)(size_t), size_t size);

static NOINLINE void *named_leaf(size_t size) {
    void *block = cgoheap_malloc(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

static NOINLINE void caller_of(void *(*function)(void *(*)(size_t), size_t), size_t size) {
    void *block = function(named_leaf, size);
    __asm__ volatile("" : : "r"(block));
}

/* leaf, then the function without table (its name, "" if it has none), then how it goes on. */
static void check_followed(const struct check_profile *profile, long long size, const char *without, size_t frames) {
    const struct check_stack *stack = check_stack_of(profile, size);
    CHECK_LINE(stack, 0, "named_leaf", "no_table.c", 0);
    CHECK(strcmp(stack->lines[1].function, without) == 0, "%s", stack->lines[1].function);
    CHECK(strcmp(stack->lines[2].function, "[by frame pointer]") == 0, "%s", stack->lines[2].function);
    CHECK_LINE(stack, 1 + frames + 1, "caller_of", "no_table.c", 0);
    CHECK_LINE(stack, 1 + frames + 2, "main", "no_table.c", 0);
    CHECK(strncmp(stack->lines[stack->n_lines - 1].function, "[stack cut", 10) != 0);
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

    static const unsigned char framed[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
    memcpy(page + 64, framed, sizeof framed); /* push rbp; mov rbp, rsp; mov rax, rdi; mov rdi, rsi; call rax; pop rbp; ret */
    void *with_frame = page + 64;
    memcpy(&generated, &with_frame, sizeof generated);
    caller_of(generated, 3023);
    caller_of(with_frame_pointer, 3037);
    caller_of(two_with_frame_pointer, 3041);
    now = check_stats();
    CHECK(now.stacks_no_unwind_info == 3, "%llu", now.stacks_no_unwind_info);
    caller_of(with_false_frame_pointer, 3049);
    now = check_stats();
    CHECK(now.stacks_no_unwind_info == 4, "%llu", now.stacks_no_unwind_info);
    profile = check_profile();
    check_followed(profile, 3023, "", 1);
    check_followed(profile, 3037, "with_frame_pointer", 1);
    check_followed(profile, 3041, "with_frame_pointer", 2);
    stack = check_stack_of(profile, 3041);
    CHECK(strcmp(stack->lines[3].function, "two_with_frame_pointer") == 0);
    stack = check_stack_of(profile, 3049);
    CHECK(strcmp(stack->lines[1].function, "with_false_frame_pointer") == 0);
    CHECK(strcmp(stack->lines[2].function, "[stack cut: no unwind table]") == 0);
    CHECK_NOTHING_LOST();
}
