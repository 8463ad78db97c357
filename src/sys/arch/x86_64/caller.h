/* For C functions of ours that want to know their caller: the same as `Registers` in registers.rs. */
#ifndef CGOHEAP_SYS_CALLER_H
#define CGOHEAP_SYS_CALLER_H

#include <stdint.h>

struct registers {
    uint64_t ip, sp, bp;
    const uint64_t *preserved; /* null: not known */
};

/* The caller's registers, from the frame of the function that this stands in: compiled with frame pointers, so the frame
   address points to the caller's saved frame pointer, below the return address. */
#define CALLER()                                                                                                       \
    {                                                                                                                  \
        (uint64_t)(uintptr_t)__builtin_return_address(0), (uint64_t)(uintptr_t)__builtin_frame_address(0) + 16,        \
            *(const uint64_t *)__builtin_frame_address(0), 0                                                           \
    }

#endif
