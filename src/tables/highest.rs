//! The highest live memory so far, and the line drawn at it. See [`super::peak`]. `tests/loom` tries all interleavings of this file.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64};

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// A new peak is one that exceeds the last by one part in this many: fewer lines to draw, and marks that don't run out.
pub const MARGIN: u64 = 256;

/// The moment of highest live memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// Blocks that were live then have an earlier mark.
    pub mark: u32,
    /// Live bytes, by estimate.
    pub bytes: u64,
    /// Wall-clock time, nanoseconds since the epoch; 0 before the first sample.
    pub time_nanos: i64,
}

/// The last peak, kept by all threads that sample.
pub struct Highest {
    /// Live bytes. Atomic, because every thread that samples compares with it.
    bytes: AtomicU64,
    /// The mark drawn there: blocks that were live then carry an earlier one. 0: no peak yet.
    mark: AtomicU32,
    /// When, by the wall clock.
    time_nanos: AtomicU64,
}

impl Highest {
    /// No peak yet.
    #[cfg(not(loom))]
    pub(super) const fn new() -> Highest {
        Highest {
            bytes: AtomicU64::new(0),
            mark: AtomicU32::new(0),
            time_nanos: AtomicU64::new(0),
        }
    }

    /// The same, of the model.
    #[cfg(loom)]
    pub(super) fn new() -> Highest {
        Highest {
            bytes: AtomicU64::new(0),
            mark: AtomicU32::new(0),
            time_nanos: AtomicU64::new(0),
        }
    }

    /// The last peak; all 0 before the first sample. Context: any.
    pub fn last(&self) -> Peak {
        Peak {
            mark: self.mark.load(Acquire),
            bytes: self.bytes.load(Relaxed),
            time_nanos: self.time_nanos.load(Relaxed) as i64,
        }
    }

    /// The mark alone. Context: hook.
    pub fn mark(&self) -> u32 {
        self.mark.load(Relaxed)
    }

    /// Draws a line, if so many live bytes are a new peak. Context: hook.
    #[inline]
    pub fn check(&self, live_bytes: u64, draw: impl FnOnce() -> u32, now: impl FnOnce() -> u64) {
        let last = self.bytes.load(Relaxed);
        if live_bytes <= last.saturating_add(last / MARGIN) {
            return;
        }
        // The line before the exchange: if another thread finds a higher peak between the two, its line is the later one, and
        // either our exchange fails or our mark loses against its.
        let mark = draw();
        if self.bytes.compare_exchange(last, live_bytes, Relaxed, Relaxed).is_ok() {
            self.time_nanos.store(now(), Relaxed);
            self.mark.fetch_max(mark, Release);
        }
    }
}
