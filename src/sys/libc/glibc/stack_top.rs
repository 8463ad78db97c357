//! Where the calling thread's own stack ends, without asking `pthread_getattr_np`, which can deadlock inside malloc.

use crate::sys::arch::thread_pointer;
use crate::sys::process;

// SAFETY: the loader defines it; a pointer-sized cell written once before main.
unsafe extern "C" {
    static __libc_stack_end: u64;
}

/// An address near the end of the calling thread's own stack, with everything below it part of that stack: the thread control
/// block, which pthread_create puts at the top of a stack that it makes, or, for the first thread, where `__libc_stack_end`
/// points. (Not the first thread's control block: that lies among mappings, where a coroutine's stack may be the next one
/// below, and be gone a moment later.) Two system calls. Context: hook.
pub fn of_calling_thread() -> u64 {
    if process::in_first_thread() {
        // SAFETY: written before main, only read here.
        unsafe { __libc_stack_end }
    } else {
        thread_pointer::control_block()
    }
}
