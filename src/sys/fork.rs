//! fork: the child gets a copy of our tables, so no other thread may be in the middle of changing them.
//!
//! libc's handlers take all our locks before the fork and give them back after, in parent and child. A fork made without
//! libc (Go's own os/exec) runs none of this, and needs none: its child only calls exec. Should such a child use malloc
//! all the same, a lock that nobody will ever give back costs it a bounded wait and a lost sample: see [`crate::sync`].

use crate::arena::ARENA;
use crate::live_table;
use crate::sampler;

extern "C" fn prepare() {
    sampler::lock_for_fork();
    live_table::lock_for_fork();
    ARENA.lock_for_fork();
}

extern "C" fn release() {
    // SAFETY: `prepare` took them on this thread.
    unsafe {
        ARENA.unlock_after_fork();
        live_table::unlock_after_fork();
        sampler::unlock_after_fork();
    }
}

extern "C" fn register() {
    // SAFETY: registers functions that live as long as the process. Not from a hook: it may allocate, under a lock of
    // libc's. Should it fail, forks work all the same, with the bounded wait above.
    unsafe { libc::pthread_atfork(Some(prepare), Some(release), Some(release)) };
}

/// Runs before main, or when the library that we are part of is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = register;
