/* For C functions of ours that want to know their caller: the same as `Registers` in registers.rs. */
#ifndef CGOHEAP_SYS_CALLER_H
#define CGOHEAP_SYS_CALLER_H

#include <stdint.h>

struct registers {
    uint64_t ip, sp, bp;
    const uint64_t *preserved; /* null: not known */
};

/* The caller's registers, from the frame of the function that this stands in: compiled with frame pointers, so the frame
   address points to a record, the caller's frame pointer first. It lies anywhere in the frame, whose end the unwinder's own
   builtin knows. The return address may be signed. */
#define CALLER()                                                                                                       \
    {                                                                                                                  \
        (uint64_t)(uintptr_t)__builtin_return_address(0) & 0xffffffffffff, (uint64_t)(uintptr_t)__builtin_dwarf_cfa(), \
            *(const uint64_t *)__builtin_frame_address(0), 0                                                           \
    }

#endif
