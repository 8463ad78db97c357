/* See entries.h. In the unsampled paths label 2 is where a call goes on that they can't end. */

#define JUMP(pointer) "jmp *" pointer "(%rip)\n"

/* The caller's stack may be misaligned. */
#define CALL_DECIDE                                                                                                    \
    "push %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_rel_offset rbp, 0\n"                                                    \
    "mov %rsp, %rbp\n.cfi_def_cfa_register rbp\n"                                                                      \
    "push %rdi\n"                                                                                                      \
    "push %rsi\n"                                                                                                      \
    "push %rdx\n"                                                                                                      \
    "and $-16, %rsp\n"                                                                                                 \
    "call cgoheap_interpose_decide\n"                                                                                  \
    "mov -8(%rbp), %rdi\n"                                                                                             \
    "mov -16(%rbp), %rsi\n"                                                                                            \
    "mov -24(%rbp), %rdx\n"                                                                                            \
    "mov %rbp, %rsp\n.cfi_def_cfa_register rsp\n"                                                                      \
    "pop %rbp\n.cfi_adjust_cfa_offset -8\n.cfi_restore rbp\n"

#define COUNT_DOWN(size)                                                                                               \
    "mov cgoheap_thread_state@GOTTPOFF(%rip), %rax\n"                                                                  \
    "mov %fs:(%rax), %r10\n"                                                                                           \
    "sub " size ", %r10\n"                                                                                             \
    "jb 2f\n"                                                                                                          \
    "cmp cgoheap_entry_threshold(%rip), %r10\n"                                                                        \
    "jb 2f\n"                                                                                                          \
    "mov %r10, %fs:(%rax)\n"

#define PRODUCT                                                                                                        \
    "mov %rdi, %r11\n"                                                                                                 \
    "imul %rsi, %r11\n"                                                                                                \
    "jo 2f\n"                                                                                                          \
    "js 2f\n"

/* -0x61c8864f and 8 are FILTER_MULTIPLIER and MASK_BEFORE of src/tables/blocks/filter. */
#define OLD_BLOCK                                                                                                      \
    "mov cgoheap_free_filter(%rip), %r10\n"                                                                            \
    "imul $-0x61c8864f, %rdi, %rax\n"                                                                                  \
    "shr $32, %rax\n"                                                                                                  \
    "and -8(%r10), %rax\n"                                                                                             \
    "cmpb $0, (%r10,%rax)\n"                                                                                           \
    "jne 2f\n"

#define UNSAMPLED(name) JUMP("unsampled_" #name) "2:\n"

#define UNSAMPLED_malloc COUNT_DOWN("%rdi") UNSAMPLED(malloc)
#define UNSAMPLED_calloc PRODUCT COUNT_DOWN("%r11") UNSAMPLED(calloc)
#define UNSAMPLED_realloc OLD_BLOCK COUNT_DOWN("%rsi") UNSAMPLED(realloc)
#define UNSAMPLED_free OLD_BLOCK UNSAMPLED(free)
