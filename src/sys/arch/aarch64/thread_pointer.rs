//! A thread-local variable in the *initial exec* model, and the thread control block. Rust can't choose the model for a
//! `thread_local!`, so the variable is defined and addressed in assembly.

use core::ffi::c_void;

/// Bytes of the variable, which are zero in a new thread.
pub const STATE_BYTES: usize = 80;

// Not at the start of a cache line: glibc refuses to open a library whose variables want more than the 16 bytes that its thread control
// block is aligned to. go/interpose/entries_arm64.h refers to it too.
core::arch::global_asm!(
    ".pushsection .tbss.cgoheap_thread_state,\"awT\",%nobits",
    ".globl cgoheap_thread_state",
    ".hidden cgoheap_thread_state",
    ".type cgoheap_thread_state, %object",
    ".size cgoheap_thread_state, {bytes}",
    ".p2align 4",
    "cgoheap_thread_state:",
    ".zero {bytes}",
    ".popsection",
    bytes = const STATE_BYTES,
);

/// Address of the calling thread's variable. Context: hook.
#[inline(always)]
pub fn state() -> *mut c_void {
    let address: *mut c_void;
    // SAFETY: reads the thread pointer and a constant offset; the linker fills in the offset.
    unsafe {
        core::arch::asm!(
            "mrs {0}, tpidr_el0",
            "adrp {1}, :gottprel:cgoheap_thread_state",
            "ldr {1}, [{1}, :gottprel_lo12:cgoheap_thread_state]",
            "add {0}, {0}, {1}",
            out(reg) address,
            out(reg) _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    address
}

/// Address of the calling thread's control block. Context: hook.
pub fn control_block() -> u64 {
    let address: u64;
    // SAFETY: reads a register. The C library's own block lies right below the address, at the top of the thread's stack.
    unsafe { core::arch::asm!("mrs {0}, tpidr_el0", out(reg) address, options(pure, nomem, nostack, preserves_flags)) };
    address
}
