//! The 64 bytes that each thread has of ours.
//!
//! Storage model: *initial exec*, zero-initialised, without destructor. Initial exec, because the general model may call
//! `__tls_get_addr`, which may call malloc; zero-initialised, because the first allocation of a thread can come before
//! any code of ours; without destructor, because the last allocation of a thread comes after all of them. Rust can't
//! choose the model for a `thread_local!`, so the variable is defined and addressed in assembly. A library that is
//! loaded with dlopen takes these 64 bytes from the reserve that glibc keeps for this.

use core::cell::UnsafeCell;

/// What the hooks keep per thread. The layout is known to the assembly of [`crate::hook::entry`] and of
/// go/interpose/entries.h: `countdown` is first.
#[repr(C)]
pub struct ThreadState {
    /// See [`crate::record::sampler`]: counts down to the threshold; [`crate::sys::guard::GUARD`] while we are inside.
    pub countdown: u64,
    /// The threshold that `countdown` was drawn above; 0 before the first draw.
    pub base: u64,
    /// The interval that `countdown` was drawn with.
    pub interval_bytes: u64,
    /// State of the random numbers; 0 before the first draw.
    pub random: u64,
    /// Lowest address of this thread's own stack known to be readable up to `stack_high`; see [`crate::unwind`].
    pub stack_low: u64,
    /// End of the part of this thread's own stack known to be readable; 0 when nothing is known.
    pub stack_high: u64,
    /// The countdown that a fork under way will put back; see [`crate::control::fork`].
    pub countdown_at_fork: u64,
    _reserved: u64,
}

impl ThreadState {
    /// A state as a new thread has it.
    #[cfg(test)]
    pub fn for_test() -> ThreadState {
        ThreadState {
            countdown: 0,
            base: 0,
            interval_bytes: 0,
            random: 0,
            stack_low: 0,
            stack_high: 0,
            countdown_at_fork: 0,
            _reserved: 0,
        }
    }
}

const _: () = assert!(
    size_of::<ThreadState>() == 64,
    "ThreadState and the .zero below must have the same size"
);

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .tbss.cgoheap_thread_state,\"awT\",@nobits",
    ".globl cgoheap_thread_state",
    ".hidden cgoheap_thread_state",
    ".type cgoheap_thread_state, @object",
    ".size cgoheap_thread_state, 64",
    ".p2align 6",
    "cgoheap_thread_state:",
    ".zero 64",
    ".popsection",
);

/// The calling thread's state. Context: hook.
///
/// The pointer is valid until the thread ends. Only the thread itself uses it (a signal handler on the same thread sees
/// the guard value and leaves the rest alone).
#[inline(always)]
pub fn state() -> *mut ThreadState {
    let address: *mut UnsafeCell<ThreadState>;
    // SAFETY: reads the thread pointer and a constant offset; the linker fills in the offset.
    unsafe {
        core::arch::asm!(
            "mov {0}, qword ptr [rip + cgoheap_thread_state@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) address,
            options(pure, nomem, nostack),
        );
    }
    address.cast()
}

/// Whether the calling thread is the process's first: the one whose stack the kernel made. (After a fork in another thread
/// the child's only thread counts as first, though its stack is that of pthread_create: nothing is known of it then.)
/// Two system calls. Context: hook.
pub fn is_first() -> bool {
    // SAFETY: both always succeed.
    unsafe { libc::gettid() == libc::getpid() }
}

/// Address of the thread control block: lies at the top of the stack that pthread_create made (and, in
/// the first thread, in no stack at all). Context: hook.
pub fn control_block() -> u64 {
    let address: u64;
    // SAFETY: on linux/amd64 the first word of the thread control block is its own address.
    unsafe {
        core::arch::asm!("mov {0}, qword ptr fs:[0]", out(reg) address, options(pure, nomem, nostack, preserves_flags))
    };
    address
}
