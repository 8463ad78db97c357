//! What the kernel says of this process and its threads.

use core::ffi::CStr;

use crate::sys::arch::system_call::system_call;

/// The file of the running program.
pub const PROGRAM_FILE: &CStr = c"/proc/self/exe";

/// Whether the calling thread is the process's first: the one whose stack the kernel made. (After a fork in another thread
/// the child's only thread counts as first, though its stack is that of pthread_create: nothing is known of it then.)
/// Two system calls. Context: hook.
pub fn in_first_thread() -> bool {
    // SAFETY: both always succeed.
    unsafe { system_call(libc::SYS_gettid, [0; 6]) == system_call(libc::SYS_getpid, [0; 6]) }
}

/// Lets other threads run. Context: hook.
pub fn give_way() {
    // SAFETY: needs nothing, and always succeeds.
    let _ = unsafe { system_call(libc::SYS_sched_yield, [0; 6]) };
}
