/* See entries.h. In the unsampled paths label 2 is where a call goes on that they can't end. They use x9 to x13 and x16. */

/* By x16: a function's landing pad (BTI) takes a jump by x16 or x17 for a call. */
#define JUMP(pointer)                                                                                                  \
    "adrp x16, " pointer "\n"                                                                                          \
    "ldr x16, [x16, :lo12:" pointer "]\n"                                                                              \
    "br x16\n"

#define CALL_DECIDE                                                                                                    \
    "stp x29, x30, [sp, #-48]!\n.cfi_adjust_cfa_offset 48\n.cfi_rel_offset x29, 0\n.cfi_rel_offset x30, 8\n"           \
    "mov x29, sp\n"                                                                                                    \
    "stp x0, x1, [sp, #16]\n"                                                                                          \
    "str x2, [sp, #32]\n"                                                                                              \
    "bl cgoheap_interpose_decide\n"                                                                                    \
    "ldr x2, [sp, #32]\n"                                                                                              \
    "ldp x0, x1, [sp, #16]\n"                                                                                          \
    "ldp x29, x30, [sp], #48\n.cfi_adjust_cfa_offset -48\n.cfi_restore x29\n.cfi_restore x30\n"

#define COUNT_DOWN(size)                                                                                               \
    "mrs x9, tpidr_el0\n"                                                                                              \
    "adrp x10, :gottprel:cgoheap_thread_state\n"                                                                       \
    "ldr x10, [x10, :gottprel_lo12:cgoheap_thread_state]\n"                                                            \
    "ldr x11, [x9, x10]\n"                                                                                             \
    "adrp x12, cgoheap_entry_threshold\n"                                                                              \
    "ldr x12, [x12, :lo12:cgoheap_entry_threshold]\n"                                                                  \
    "subs x11, x11, " size "\n"                                                                                        \
    "ccmp x11, x12, #0, hs\n"                                                                                          \
    "b.lo 2f\n"                                                                                                        \
    "str x11, [x9, x10]\n"

#define PRODUCT                                                                                                        \
    "umulh x9, x0, x1\n"                                                                                               \
    "mul x13, x0, x1\n"                                                                                                \
    "cbnz x9, 2f\n"

/* 0x864e (inverted), 0x9e37 and 8 are FILTER_MULTIPLIER and MASK_BEFORE of src/tables/blocks/filter. */
#define OLD_BLOCK                                                                                                      \
    "adrp x9, cgoheap_free_filter\n"                                                                                   \
    "ldr x9, [x9, :lo12:cgoheap_free_filter]\n"                                                                        \
    "movn x10, #0x864e\n"                                                                                              \
    "movk x10, #0x9e37, lsl #16\n"                                                                                     \
    "mul x10, x0, x10\n"                                                                                               \
    "ldur x11, [x9, #-8]\n"                                                                                            \
    "and x10, x11, x10, lsr #32\n"                                                                                     \
    "ldrb w10, [x9, x10]\n"                                                                                            \
    "cbnz w10, 2f\n"

#define UNSAMPLED(name) JUMP("unsampled_" #name) "2:\n"

#define UNSAMPLED_malloc COUNT_DOWN("x0") UNSAMPLED(malloc)
#define UNSAMPLED_calloc PRODUCT COUNT_DOWN("x13") UNSAMPLED(calloc)
#define UNSAMPLED_realloc OLD_BLOCK COUNT_DOWN("x1") UNSAMPLED(realloc)
#define UNSAMPLED_free OLD_BLOCK UNSAMPLED(free)
