/* See entries.h. In the unsampled paths label 2 is where a call goes on that they can't end. */

#define JUMP(pointer) "jmp *" pointer "(%rip)\n"

#define CALL_DECIDE                                                                                                    \
    "push %rdi\n.cfi_adjust_cfa_offset 8\n"                                                                            \
    "push %rsi\n.cfi_adjust_cfa_offset 8\n"                                                                            \
    "push %rdx\n.cfi_adjust_cfa_offset 8\n" /* as many as keep the stack aligned */                                    \
    "call cgoheap_interpose_decide\n"                                                                                  \
    "pop %rdx\n.cfi_adjust_cfa_offset -8\n"                                                                            \
    "pop %rsi\n.cfi_adjust_cfa_offset -8\n"                                                                            \
    "pop %rdi\n.cfi_adjust_cfa_offset -8\n"

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
