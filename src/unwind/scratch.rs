//! A pool of stack buffers, so that unwinding needs no stack of its own: the sampled thread's may be as small as a thread or a
//! coroutine can have it, large enough for libc's malloc and no more.
//!
//! A buffer is borrowed without waiting. There are more areas than threads that sample at the same moment; should
//! all be in use, the sample is dropped and counted.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::sys::thread;
use crate::tables::hash::mix;
use crate::unwind::StackBuffer;

const AREAS: usize = 64;

struct Area {
    busy: AtomicBool,
    stack: UnsafeCell<StackBuffer>,
}

// SAFETY: `busy` hands the buffer to one borrower at a time.
unsafe impl Sync for Area {}

static POOL: [Area; AREAS] = [const {
    Area {
        busy: AtomicBool::new(false),
        stack: UnsafeCell::new(StackBuffer::new()),
    }
}; AREAS];

/// An empty stack buffer, given back when dropped.
pub struct Scratch(&'static Area);

/// Borrows one; `None` when all are in use. Context: hook.
pub fn borrow() -> Option<Scratch> {
    // Each thread begins elsewhere, so that in the usual case the first one is free, and still in this core's cache.
    let first = (mix(0, thread::state() as u64) >> 32) as usize;
    (0..AREAS).find_map(|step| {
        let area = POOL.get((first + step) % AREAS)?;
        area.busy.compare_exchange(false, true, Acquire, Relaxed).ok()?;
        let mut scratch = Scratch(area);
        scratch.clear();
        Some(scratch)
    })
}

/// After a fork, in the child: whoever had borrowed one is not there. Context: outside hooks, single-threaded.
pub fn free_all() {
    for area in &POOL {
        area.busy.store(false, Relaxed);
    }
}

impl Deref for Scratch {
    type Target = StackBuffer;
    fn deref(&self) -> &StackBuffer {
        // SAFETY: borrowed by us alone.
        unsafe { &*self.0.stack.get() }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut StackBuffer {
        // SAFETY: borrowed by us alone.
        unsafe { &mut *self.0.stack.get() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.0.busy.store(false, Release);
    }
}
