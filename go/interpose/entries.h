/* The definitions of malloc and its relatives that lead to the hooks. In assembly, so that whatever the compiler's options,
   the hook finds the registers and the stack as the caller left them: the hook's caller is malloc's caller. The instructions
   are in one header for each processor. */
#ifndef CGOHEAP_ENTRIES_H
#define CGOHEAP_ENTRIES_H

/*
 * What a processor's header defines, each as a string of instructions that keeps all arguments and the stack as they came:
 *
 *     JUMP(pointer)           go on where the variable `pointer` points
 *     CALL_DECIDE             call cgoheap_interpose_decide
 *     UNSAMPLED_malloc, UNSAMPLED_calloc, UNSAMPLED_realloc, UNSAMPLED_free
 *                             the unsampled paths of the hooks (src/hook/entry.rs says what they do), here once more: a
 *                             jump less at each end. They end at once in the backing allocator, unsampled_NAME, or fall
 *                             through, to a jump to target_NAME as in any other entry: the hook, or whoever is to have the
 *                             call instead
 *
 * While the hooks are not to have the calls, the threshold is KEEP_OUT: then every allocation goes on to target_NAME, and no
 * countdown is touched.
 */
#if defined(__x86_64__)
#include "entries_amd64.h"
#elif defined(__aarch64__)
#include "entries_arm64.h"
#else
#error "cgoheap: no entries for this processor"
#endif

/* Those that have an unsampled path here; the others are too rare to be worth one. */
#define FAST(what) what(malloc) what(free) what(calloc) what(realloc)
#define UNSAMPLED_reallocarray
#define UNSAMPLED_posix_memalign
#define UNSAMPLED_aligned_alloc
#define UNSAMPLED_memalign
#define UNSAMPLED_valloc
#define UNSAMPLED_pvalloc
#define UNSAMPLED_strdup
#define UNSAMPLED_strndup
#define UNSAMPLED_wcsdup

/* A function that is nothing but `code`. */
#define FUNCTION(head, name, code)                                                                                     \
    __asm__(".pushsection .text\n" head ".type " name ", %function\n" name ":\n"                                       \
            ".cfi_startproc\n" code ".cfi_endproc\n"                                                                   \
            ".size " name ", . - " name "\n"                                                                           \
            ".popsection\n")

/* PREFIXname. `binding` is weak or globl. The label own_NAME marks the same place, for comparing: NAME may turn out to be
   another's. */
#define ENTRY(binding, prefix, name)                                                                                   \
    FUNCTION(".p2align 4\n." binding " " prefix #name "\nown_" #name ":\n", prefix #name,                              \
             UNSAMPLED_##name JUMP("target_" #name))

/* first_NAME decides, and makes the call anew. */
#define FIRST(name) FUNCTION("", "first_" #name, CALL_DECIDE JUMP("target_" #name))

/* Found without a detour, in a shared library too. */
extern unsigned long cgoheap_entry_threshold __attribute__((visibility("hidden")));
#define KEEP_OUT (~0ul)
__asm__(".hidden cgoheap_entry_threshold\n"
        ".hidden cgoheap_free_filter\n"
        ".hidden cgoheap_thread_state\n");

#endif
