//! Our lock, and the order in which locks are taken.
//!
//! A lock that hooks use must not allocate, must not panic and must not wait for ever: the holder may be a thread that
//! did not survive a fork made without libc's knowledge. So it is a futex word with a bounded wait; a thread that gives
//! up drops one sample and counts it.
//!
//! Lock order (a later one may be taken while an earlier one is held, never the reverse):
//! 1. what is known of symbols: hooks don't take it, and its holder may allocate
//! 2. the making of the list of objects, where glibc has no `_dl_find_object`: hooks never wait for it
//! 3. the sampler's setting
//! 4. the move of the filter to another size
//! 5. shards of the table of blocks, by index
//! 6. the arena of the table of stacks
//! 7. the heap of control code: hooks don't take it
//!
//! `tests/loom` tries all interleavings of this file.
//!
//! No foreign code runs under the last five: no unwinding, symbol lookup, encoding, Go, or libc that may allocate.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
#[cfg(not(loom))]
use core::{hint, sync::atomic::AtomicU32};
#[cfg(loom)]
use loom::{hint, sync::atomic::AtomicU32};

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::sys::clock::monotonic_coarse_nanos;
use crate::sys::futex;

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Looks before a thread sleeps.
const SPINS: u32 = if cfg!(loom) { 1 } else { 100 };

/// A mutual exclusion lock around a `T`: three-state futex (Drepper, "Futexes are tricky", mutex 2).
pub struct Lock<T> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands out one reference at a time, so sharing it needs no more than T being Send.
unsafe impl<T: Send> Sync for Lock<T> {}

/// Exclusive use of a locked value; gives the lock back when dropped.
pub struct Locked<'a, T>(&'a Lock<T>);

impl<T> Lock<T> {
    /// A free lock.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Lock<T> {
        Lock {
            word: AtomicU32::new(FREE),
            value: UnsafeCell::new(value),
        }
    }

    /// A free lock of the model.
    #[cfg(loom)]
    pub fn new(value: T) -> Lock<T> {
        Lock {
            word: AtomicU32::new(FREE),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock if it is free at once. Context: hook.
    pub fn try_lock(&self) -> Option<Locked<'_, T>> {
        self.word
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .ok()
            .map(|_| Locked(self))
    }

    /// Takes the lock; gives up after half a second. Holders hold it for microseconds, but may be stopped meanwhile: on a busy
    /// or throttled machine for tenths of a second. Then this thread may be stopped too: half a second by the clock, and fifty
    /// times that it was asleep and looked again. Context: hook.
    pub fn lock_bounded(&self) -> Option<Locked<'_, T>> {
        for _ in 0..SPINS {
            if let Some(locked) = self.try_lock() {
                return Some(locked);
            }
            hint::spin_loop();
        }
        let deadline = monotonic_coarse_nanos().saturating_add(500_000_000);
        let mut sleeps = 0u32;
        loop {
            if self.word.swap(CONTENDED, Acquire) == FREE {
                return Some(Locked(self));
            }
            if sleeps >= 50 && monotonic_coarse_nanos() >= deadline {
                return None;
            }
            futex::wait(&self.word, CONTENDED, Some(10_000_000));
            sleeps = sleeps.saturating_add(1);
        }
    }

    /// Takes the lock, waiting as long as it takes. Context: outside hooks.
    pub fn lock(&self) -> Locked<'_, T> {
        loop {
            if let Some(locked) = self.lock_bounded() {
                return locked;
            }
        }
    }

    /// Takes the lock and keeps it across a fork; [`Lock::unlock_after_fork`] gives it back in parent and child.
    pub fn lock_for_fork(&self) {
        core::mem::forget(self.lock());
    }

    /// Gives back a lock that [`Lock::lock_for_fork`] took.
    ///
    /// # Safety
    /// The calling thread took it by `lock_for_fork`, before the fork.
    pub unsafe fn unlock_after_fork(&self) {
        drop(Locked(self));
    }

    /// If a thread held the lock when this process was forked off: a free lock with another value.
    ///
    /// # Safety
    /// No other thread is in this process, and this one doesn't hold the lock.
    pub unsafe fn replace_in_child(&self, value: T) {
        if self.word.load(Relaxed) != FREE {
            // SAFETY: nobody uses the value, says the caller. It may be half changed, so it is not dropped.
            unsafe { self.value.get().write(value) };
            self.word.store(FREE, Release);
        }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: while this Locked exists no other does.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: while this Locked exists no other does.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        if self.0.word.swap(FREE, Release) == CONTENDED {
            futex::wake(&self.0.word);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn increments_by_many_threads_all_arrive() {
        static COUNT: Lock<u64> = Lock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        *COUNT.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*COUNT.lock(), 160_000);
    }

    #[test]
    fn a_lock_that_a_fork_left_held_begins_anew() {
        let lock = Lock::new(1);
        // SAFETY: no other thread knows the lock.
        unsafe { lock.replace_in_child(2) };
        assert_eq!(*lock.lock(), 1);
        core::mem::forget(lock.lock());
        // SAFETY: as above, and its holder is gone.
        unsafe { lock.replace_in_child(3) };
        assert_eq!(*lock.lock(), 3);
    }

    #[test]
    fn a_lock_that_is_never_given_back_is_given_up_on() {
        let lock = Lock::new(());
        let held = lock.lock();
        assert!(lock.try_lock().is_none());
        assert!(lock.lock_bounded().is_none());
        drop(held);
        assert!(lock.lock_bounded().is_some());
    }
}
