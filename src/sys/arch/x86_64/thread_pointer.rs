//! A thread-local variable in the *initial exec* model, and the thread control block. Rust can't choose the model for a
//! `thread_local!`, so the variable is defined and addressed in assembly.

use core::ffi::c_void;

/// Bytes of the variable, which are zero in a new thread.
pub const STATE_BYTES: usize = 80;

// It begins a cache line: what the entries touch is in the first one. go/interpose/entries_amd64.h refers to it too.
core::arch::global_asm!(
    ".pushsection .tbss.cgoheap_thread_state,\"awT\",@nobits",
    ".globl cgoheap_thread_state",
    ".hidden cgoheap_thread_state",
    ".type cgoheap_thread_state, @object",
    ".size cgoheap_thread_state, {bytes}",
    ".p2align 6",
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
            "mov {0}, qword ptr [rip + cgoheap_thread_state@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) address,
            options(pure, nomem, nostack),
        );
    }
    address
}

/// Address of the calling thread's control block. Context: hook.
pub fn control_block() -> u64 {
    let address: u64;
    // SAFETY: on linux/amd64 the first word of the thread control block is its own address.
    unsafe {
        core::arch::asm!("mov {0}, qword ptr fs:[0]", out(reg) address, options(pure, nomem, nostack, preserves_flags))
    };
    address
}
