//! The re-entrancy guard: while it is held, this thread's allocations are plain ones.
//!
//! It is a value of the sampler's countdown ([`GUARD`]), so the fast path needs no second test.

use crate::sys::thread;

/// `countdown` of a thread that is inside the profiler.
pub const GUARD: u64 = 1;

/// Holds the guard until dropped; nests. Context: any.
pub struct Guard {
    countdown: u64,
}

impl Guard {
    /// Sets the guard, remembering the countdown.
    pub fn enter() -> Guard {
        let state = thread::state();
        // SAFETY: the calling thread's own state; a signal handler that runs in between puts back what it found.
        unsafe {
            let countdown = (*state).countdown;
            (*state).countdown = GUARD;
            Guard { countdown }
        }
    }

    /// Whether the calling thread is inside the profiler.
    pub fn is_held() -> bool {
        // SAFETY: the calling thread's own state.
        unsafe { (*thread::state()).countdown == GUARD }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: as in `enter`.
        unsafe { (*thread::state()).countdown = self.countdown }
    }
}
