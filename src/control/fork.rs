//! fork: the child gets a copy of our tables, so no other thread may be in the middle of changing them.
//!
//! libc's handlers take all our locks before the fork and give them back after, in parent and child. A fork made without
//! libc (Go's own os/exec) runs none of this, and needs none: its child only calls exec. Should such a child use malloc
//! all the same, a lock that nobody will ever give back costs it a bounded wait and a lost sample: see [`crate::sys::lock`].

use crate::control::{dump, heap};
use crate::profile::symbols;
use crate::record::{counting, sampler};
use crate::sys::guard::{GUARD, Guard};
use crate::sys::{loaded_object, spare_stack, thread};
use crate::tables::arena::ARENA;
use crate::tables::blocks;
use crate::unwind::scratch;

/// Other libraries' handlers run between ours, and may allocate: under the guard, so as not to wait for our own locks.
///
/// When a signal handler that interrupted a hook forks, the guard is held already, and the hook may hold a lock: it will
/// finish what it was doing, in both processes. Then nothing is locked here.
extern "C" fn prepare() {
    if !Guard::is_held() {
        loaded_object::lock_for_fork();
        sampler::lock_for_fork();
        blocks::lock_for_fork();
        ARENA.lock_for_fork();
        heap::lock_for_fork();
    }
    let state = thread::state();
    // SAFETY: the calling thread's own state.
    unsafe {
        (*state).countdown_at_fork = (*state).countdown;
        (*state).countdown = GUARD;
    }
}

extern "C" fn release() {
    let state = thread::state();
    // SAFETY: `prepare` ran on this thread, which owns its state, and took the locks unless the guard was held.
    unsafe {
        (*state).countdown = (*state).countdown_at_fork;
        if (*state).countdown != GUARD {
            heap::unlock_after_fork();
            ARENA.unlock_after_fork();
            blocks::unlock_after_fork();
            sampler::unlock_after_fork();
            loaded_object::unlock_after_fork();
        }
    }
}

extern "C" fn release_in_child() {
    release();
    if !Guard::is_held() {
        // The threads that were using them are not in this process.
        scratch::free_all();
        spare_stack::free_all();
        counting::reset_in_child();
        // SAFETY: in a child there is this thread only, and symbols are looked up and dumps written under the guard.
        unsafe {
            symbols::reset_in_child();
            dump::reset_in_child();
        }
    }
}

extern "C" fn register() {
    // SAFETY: registers functions that live as long as the process. Not from a hook: it may allocate, under a lock of
    // libc's. Should it fail, forks work all the same, with the bounded wait above.
    unsafe { libc::pthread_atfork(Some(prepare), Some(release), Some(release_in_child)) };
}

/// Runs before main, or when the library that we are part of is loaded. `AT_START` in hook/entry.rs refers to
/// it, so that a linker takes it from the archive.
#[used]
#[unsafe(link_section = ".init_array")]
pub static AT_START: extern "C" fn() = register;
