/* Functions that are nothing but a jump to a hook. In assembly, so that whatever the compiler's options, the hook finds
   the registers and the stack as the caller left them: the hook's caller is malloc's caller. */
#ifndef CGOHEAP_ENTRIES_H
#define CGOHEAP_ENTRIES_H

/* `jump` leads to the hook, `binding` is weak or globl. The label own_NAME marks the same place, for comparing: NAME may
   turn out to be another's. */
#define ENTRY(binding, prefix, name, jump)                                                                                   \
    __asm__(".pushsection .text\n"                                                                                     \
            ".p2align 4\n"                                                                                             \
            "." binding " " prefix #name "\n"                                                                          \
            ".type " prefix #name ", @function\n" prefix #name ":\nown_" #name ":\n"                                  \
            ".cfi_startproc\n"                                                                                         \
            jump "\n"                                                                                                  \
            ".cfi_endproc\n"                                                                                           \
            ".size " prefix #name ", . - " prefix #name "\n"                                                           \
            ".popsection\n")

#endif
