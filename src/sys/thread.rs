//! The 80 bytes that each thread has of ours.
//!
//! Storage model: *initial exec*, zero-initialised, without destructor. Initial exec, because the general model may call
//! `__tls_get_addr`, which may call malloc; zero-initialised, because the first allocation of a thread can come before
//! any code of ours; without destructor, because the last allocation of a thread comes after all of them. The variable is
//! in `arch/*/thread_pointer.rs`. A library that is loaded with dlopen takes these 80 bytes from the reserve that the C library
//! keeps for this.

use crate::sys::arch::thread_pointer;

/// What the hooks keep per thread. The layout is known to the assembly of [`crate::sys::call`] and of
/// go/interpose/entries_PROCESSOR.h: `countdown` is first.
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
    /// A page above stacks that aren't the thread's own, which can't be read; 0 when there was none. See [`crate::unwind`].
    pub stack_hole: u64,
    /// Bytes of the distance to the next sample that `countdown` lacks, so that every allocation takes the slow path; see
    /// [`crate::record::sampler`].
    pub held_back: u64,
    /// For so many bytes more.
    pub look_left: u64,
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
            stack_hole: 0,
            held_back: 0,
            look_left: 0,
        }
    }
}

const _: () = assert!(
    size_of::<ThreadState>() == thread_pointer::STATE_BYTES,
    "the thread-local variable holds a ThreadState"
);
const _: () = assert!(
    core::mem::offset_of!(ThreadState, countdown) == 0,
    "the entries find the countdown where the state begins"
);

/// The calling thread's state. Context: hook.
///
/// The pointer is valid until the thread ends. Only the thread itself uses it (a signal handler on the same thread sees
/// the guard value and leaves the rest alone).
#[inline(always)]
pub fn state() -> *mut ThreadState {
    thread_pointer::state().cast()
}
