/* The definitions of malloc and its relatives that lead to the hooks. In assembly, so that whatever the compiler's options,
   the hook finds the registers and the stack as the caller left them: the hook's caller is malloc's caller. */
#ifndef CGOHEAP_ENTRIES_H
#define CGOHEAP_ENTRIES_H

/* A function that is nothing but `code`. `binding` is weak or globl. The label own_NAME marks the same place, for comparing:
   NAME may turn out to be another's. */
#define ENTRY(binding, prefix, name, code)                                                                             \
    __asm__(".pushsection .text\n"                                                                                     \
            ".p2align 4\n"                                                                                             \
            "." binding " " prefix #name "\n"                                                                          \
            ".type " prefix #name ", @function\n" prefix #name ":\nown_" #name ":\n"                                   \
            ".cfi_startproc\n"                                                                                         \
            code "\n"                                                                                                  \
            ".cfi_endproc\n"                                                                                           \
            ".size " prefix #name ", . - " prefix #name "\n"                                                           \
            ".popsection\n")

/*
 * The unsampled paths of the hooks (src/hook/entry.rs says what they do), here once more: a jump less at each end. They end
 * at once in the allocator beneath, unsampled_NAME, or at label 2 with all arguments as they came, and there the call goes to
 * target_NAME, as it does from any other entry: the hook, or whoever is to have the call instead.
 *
 * While the hooks are not to have the calls, the threshold is KEEP_OUT: then every allocation goes on to target_NAME, and no
 * countdown is touched.
 */
#define COUNT_DOWN(size)                                                                                               \
    "mov cgoheap_thread_state@GOTTPOFF(%rip), %rax\n"                                                                   \
    "mov %fs:(%rax), %r10\n"                                                                                           \
    "sub " size ", %r10\n"                                                                                             \
    "jb 2f\n"                                                                                                          \
    "cmp cgoheap_entry_threshold(%rip), %r10\n"                                                                         \
    "jb 2f\n"                                                                                                          \
    "mov %r10, %fs:(%rax)\n"

#define PRODUCT                                                                                                        \
    "mov %rdi, %r11\n"                                                                                                 \
    "imul %rsi, %r11\n"                                                                                                \
    "jo 2f\n"                                                                                                          \
    "js 2f\n"

/* -0x61c8864f and 8 are FILTER_MULTIPLIER and MASK_BEFORE of src/live_table/filter.rs. */
#define LOOK_INTO_FILTER                                                                                               \
    "mov cgoheap_free_filter(%rip), %r10\n"                                                                            \
    "imul $-0x61c8864f, %rdi, %rax\n"                                                                                  \
    "shr $32, %rax\n"                                                                                                  \
    "and -8(%r10), %rax\n"                                                                                             \
    "cmpb $0, (%r10,%rax)\n"

#define OLD_BLOCK                                                                                                      \
    LOOK_INTO_FILTER                                                                                                   \
    "jne 2f\n"

#define UNSAMPLED(name) "jmp *unsampled_" #name "(%rip)\n2:\n"

#define UNSAMPLED_malloc COUNT_DOWN("%rdi") UNSAMPLED(malloc)
#define UNSAMPLED_calloc PRODUCT COUNT_DOWN("%r11") UNSAMPLED(calloc)
#define UNSAMPLED_realloc OLD_BLOCK COUNT_DOWN("%rsi") UNSAMPLED(realloc)
#define UNSAMPLED_free                                                                                                 \
    LOOK_INTO_FILTER                                                                                                   \
    "jne 2f\n" UNSAMPLED(free)
/* The others are too rare to be worth one. */
#define UNSAMPLED_reallocarray
#define UNSAMPLED_posix_memalign
#define UNSAMPLED_aligned_alloc
#define UNSAMPLED_memalign
#define UNSAMPLED_valloc
#define UNSAMPLED_pvalloc
#define UNSAMPLED_strdup
#define UNSAMPLED_strndup

/* Found without a detour, in a shared library too. */
extern unsigned long cgoheap_entry_threshold __attribute__((visibility("hidden")));
#define KEEP_OUT (~0ul)
__asm__(".hidden cgoheap_entry_threshold\n"
        ".hidden cgoheap_free_filter\n"
        ".hidden cgoheap_thread_state\n");

#define FAST(what) what(malloc) what(free) what(calloc) what(realloc)

#endif
