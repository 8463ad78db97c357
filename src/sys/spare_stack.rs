//! Stacks of our own, for work that needs more of a stack than a hook may take from its caller.
//!
//! A program's own malloc gets by with some hundred bytes, so programs call it on stacks that have little more: coroutines of
//! 4 KiB, signal handlers on alternate stacks of 8 KiB. A hook takes at most 1 KiB from them, on every path (`tests/stack_use.rs`). Most of what it does
//! fits. What doesn't is rare: reading unwind tables (5 KiB in gimli), getting to know an object, reading the environment. That is
//! done here:
//!
//! ```text
//!   the caller's stack              a spare one
//!   +--------------------+
//!   | ... -> malloc      |
//!   | hook: run(work)    |          +--------------------+
//!   |   call_on_stack    | -------> | work               |
//!   +--------------------+          +--------------------+
//! ```
//!
//! Signals wait meanwhile. A handler would run on the spare stack, which may be too small for it; and a garbage collector's
//! stops the thread and takes its stack pointer for the end of the stack that it has to search.
//!
//! The stacks are part of the program's zeroed data, so there is nothing to make, and nothing to fail; pages that were
//! never used take no memory.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::sys::arch::stack_switch::call_on_stack;
use crate::sys::signals;

/// As many as samples can be under way: see [`crate::unwind::scratch`].
const STACKS: usize = 64;
/// The deepest work takes 6 KiB; a handler's frame of a signal that can't wait, up to 3. Code that isn't optimised takes four times as
/// much.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 64 * 1024 } else { 16 * 1024 };

struct Pool<const N: usize> {
    stacks: [Stack; N],
    /// Atomic, because threads look for a free one at the same time.
    busy: [AtomicBool; N],
}

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; STACK_BYTES]>);

// SAFETY: `busy` hands each stack to one thread at a time.
unsafe impl Sync for Stack {}

static POOL: Pool<STACKS> = Pool::new();

/// Does `work` on a spare stack. `None`, and nothing was done, when none is free or the kernel doesn't let signals wait.
/// `work` must not panic. Context: hook.
pub fn run<T>(work: impl FnOnce() -> T) -> Option<T> {
    run_on(work, switch)
}

/// A function that calls another one, with its argument, on a spare stack, or returns false.
type Switch = unsafe fn(unsafe extern "C" fn(*mut c_void), *mut c_void) -> bool;

#[inline(always)]
fn run_on<T>(work: impl FnOnce() -> T, switch: Switch) -> Option<T> {
    let mut job = Job {
        work: MaybeUninit::new(work),
        result: MaybeUninit::uninit(),
    };
    let function = function_for(&job);
    // SAFETY: the function runs a job of this type, once, and returns; then the result is there. Not run, the job is still whole.
    unsafe {
        if switch(function, (&raw mut job).cast()) {
            Some(job.result.assume_init())
        } else {
            job.work.assume_init_drop();
            None
        }
    }
}

/// [`Pool::switch`] of the one pool. Not inlined: its variables are not to be part of every caller's frame.
///
/// # Safety
/// As there.
#[inline(never)]
unsafe fn switch(function: unsafe extern "C" fn(*mut c_void), argument: *mut c_void) -> bool {
    // SAFETY: passed on to the caller.
    unsafe { POOL.switch(function, argument) }
}

impl<const N: usize> Pool<N> {
    const fn new() -> Pool<N> {
        Pool {
            stacks: [const { Stack(UnsafeCell::new([0; STACK_BYTES])) }; N],
            busy: [const { AtomicBool::new(false) }; N],
        }
    }

    /// Calls `function(argument)` on a spare stack, if it can.
    ///
    /// # Safety
    /// The function may be called so, returns, and takes no more than is there.
    #[inline]
    unsafe fn switch(&self, function: unsafe extern "C" fn(*mut c_void), argument: *mut c_void) -> bool {
        let Some(_blocked) = signals::block() else {
            return false;
        };
        let free = |(_, busy): &(_, &AtomicBool)| busy.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        let Some((stack, busy)) = self.stacks.iter().zip(&self.busy).find(free) else {
            return false;
        };
        // SAFETY: the stack is ours until it is given back, and no signal's handler comes in between; the rest says the caller.
        unsafe { call_on_stack(stack.0.get().cast::<u8>().add(STACK_BYTES), function, argument) };
        #[cfg(test)]
        stack.check();
        busy.store(false, Release);
        true
    }
}

struct Job<W, T> {
    work: MaybeUninit<W>,
    result: MaybeUninit<T>,
}

/// The function that runs such a job.
fn function_for<W: FnOnce() -> T, T>(_: &Job<W, T>) -> unsafe extern "C" fn(*mut c_void) {
    on_spare_stack::<W, T>
}

/// # Safety
/// `job` points to a `Job<W, T>` that was not run yet.
unsafe extern "C" fn on_spare_stack<W: FnOnce() -> T, T>(job: *mut c_void) {
    // SAFETY: says the caller.
    unsafe {
        let job = &mut *job.cast::<Job<W, T>>();
        job.result.write(job.work.assume_init_read()());
    }
}

/// After a fork, in the child: whoever used one is not there. Context: outside hooks, single-threaded.
pub fn free_all() {
    for busy in &POOL.busy {
        busy.store(false, Relaxed);
    }
}

#[cfg(test)]
impl Stack {
    /// The last quarter was never used.
    fn check(&self) {
        // SAFETY: the one who has the stack calls, and nobody runs on it.
        let bytes = unsafe { &*self.0.get() };
        assert!(
            bytes.iter().take(STACK_BYTES / 4).all(|byte| *byte == 0),
            "a spare stack is too small, or was given more to do than it is for"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, atomic::AtomicUsize};

    fn is_spare<T>(local: &T) -> bool {
        POOL.stacks.as_ptr_range().contains(&core::ptr::from_ref(local).cast())
    }

    #[test]
    fn work_is_done_elsewhere_and_its_result_comes_back() {
        let (text, here) = (String::from("moved in and out"), 0u8);
        let out = run(|| {
            let there = 0u8;
            assert!(is_spare(&there) && !is_spare(&here));
            text
        });
        assert_eq!(out.as_deref(), Some("moved in and out"));
    }

    #[test]
    fn an_unwinder_leads_back_to_the_caller() {
        let addresses = run(|| {
            let mut addresses = Vec::new();
            backtrace::trace(|frame| {
                addresses.push(frame.ip().wrapping_byte_sub(1));
                true
            });
            addresses
        });
        let mut names = Vec::new();
        for address in addresses.expect("a spare stack is free") {
            backtrace::resolve(address, |symbol| {
                names.extend(symbol.name().map(|name| name.to_string()))
            });
        }
        let names = names.join("\n");
        let (work, caller) = (
            names.find("on_spare_stack"),
            names.rfind("an_unwinder_leads_back_to_the_caller"),
        );
        assert!(work.is_some() && work < caller, "{names}");
    }

    #[test]
    fn each_thread_has_one_of_its_own_and_without_one_nothing_is_done() {
        static TWO: Pool<2> = Pool::new();
        // SAFETY: passed on.
        let run = |work: &dyn Fn()| run_on(work, |function, argument| unsafe { TWO.switch(function, argument) });
        let (begun, end) = (Barrier::new(3), Barrier::new(3));
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    run(&|| {
                        begun.wait();
                        end.wait();
                        done.fetch_add(1, Relaxed);
                    })
                });
            }
            begun.wait();
            assert_eq!(run(&|| unreachable!()), None);
            end.wait();
        });
        assert_eq!(done.load(Relaxed), 2);
        assert_eq!(run(&|| ()), Some(()));
    }
}
