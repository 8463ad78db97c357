//! Per stack: what was live at the peak and has been freed since. See [`super::peak`]. `tests/loom` tries all interleavings of this file.

#[cfg(not(loom))]
use core::{
    hint,
    sync::atomic::{AtomicU32, AtomicU64},
};
#[cfg(loom)]
use loom::{
    hint,
    sync::atomic::{AtomicU32, AtomicU64},
};

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::weight::Totals;
use crate::sys::futex;

/// What of one stack was live at the peak and has been freed since.
pub struct FreedSince {
    /// Mark of the peak that the sums belong to, or BUSY. Atomic, as are the sums, because frees of one stack come from many
    /// threads and under many locks.
    peak: AtomicU32,
    objects_fixed: AtomicU64,
    bytes: AtomicU64,
    /// An f64's bits.
    variance: AtomicU64,
}

/// Somebody is setting the sums to nothing.
const BUSY: u32 = u32::MAX;
/// Looks at sums that are BUSY before a thread sleeps, and how often it sleeps. Nobody wakes it.
const SPINS: u32 = 100;
const SLEEPS: u32 = 500;
const SLEEP_NANOS: u64 = 1_000_000;

impl FreedSince {
    /// Nothing, of no peak.
    #[cfg(not(loom))]
    pub const fn new() -> FreedSince {
        FreedSince {
            peak: AtomicU32::new(0),
            objects_fixed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            variance: AtomicU64::new(0),
        }
    }

    /// The same, of the model.
    #[cfg(loom)]
    pub fn new() -> FreedSince {
        FreedSince {
            peak: AtomicU32::new(0),
            objects_fixed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            variance: AtomicU64::new(0),
        }
    }

    /// False when the sums could not be had for half a second: this thread itself was interrupted while it set them to nothing,
    /// or another was, which a fork left behind. Then the peak lacks this block. Context: hook.
    pub(super) fn add(&self, peak: u32, sample: Totals) -> bool {
        for attempt in 0..SPINS + SLEEPS {
            match self.peak.load(Acquire) {
                BUSY if attempt < SPINS => hint::spin_loop(),
                // Whoever sets them needs some instructions more, and perhaps a processor.
                BUSY => futex::wait(&self.peak, BUSY, Some(SLEEP_NANOS)),
                // Of this peak, or of one since: the block was live then too, or went at that very moment.
                known if known >= peak => {
                    self.objects_fixed.fetch_add(sample.objects_fixed, Relaxed);
                    self.bytes.fetch_add(sample.bytes, Relaxed);
                    change(&self.variance, sample.variance);
                    return true;
                }
                older => {
                    if self.peak.compare_exchange(older, BUSY, Acquire, Relaxed).is_ok() {
                        // Not stored: where all changes are read-modify-write, loom knows their order.
                        self.objects_fixed.swap(0, Relaxed);
                        self.bytes.swap(0, Relaxed);
                        self.variance.swap(0, Relaxed);
                        self.peak.store(peak, Release);
                    }
                }
            }
        }
        false
    }

    pub(super) fn take_back(&self, peak: u32, sample: Totals) {
        if self.peak.load(Acquire) != peak {
            return;
        }
        let less = |amount| move |sum: u64| Some(sum.saturating_sub(amount));
        // Always succeed: the closures never say None.
        let _ = self
            .objects_fixed
            .fetch_update(Relaxed, Relaxed, less(sample.objects_fixed));
        let _ = self.bytes.fetch_update(Relaxed, Relaxed, less(sample.bytes));
        change(&self.variance, -sample.variance);
    }

    /// The sums, if they are of this peak. Context: any.
    pub fn of(&self, peak: u32) -> Totals {
        if peak == 0 || self.peak.load(Acquire) != peak {
            return Totals::default();
        }
        Totals {
            objects_fixed: self.objects_fixed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            variance: f64::from_bits(self.variance.load(Relaxed)),
        }
    }
}

impl Default for FreedSince {
    fn default() -> FreedSince {
        FreedSince::new()
    }
}

/// Adds to an f64 kept as its bits, not below nothing.
fn change(sum: &AtomicU64, by: f64) {
    if by != 0.0 {
        let add = |bits| Some((f64::from_bits(bits) + by).max(0.0).to_bits());
        // Always succeeds, as above.
        let _ = sum.fetch_update(Relaxed, Relaxed, add);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn sample(bytes: u64) -> Totals {
        Totals {
            objects_fixed: 3,
            bytes,
            variance: 2.0,
        }
    }

    #[test]
    fn sums_belong_to_one_peak() {
        let sums = FreedSince::new();
        assert_eq!(sums.of(0), Totals::default());
        assert!(sums.add(4, sample(10)) && sums.add(4, sample(5)));
        assert_eq!((sums.of(4).bytes, sums.of(4).variance), (15, 4.0));
        assert_eq!(sums.of(5), Totals::default());
        // One that read the mark before the peak moved on.
        assert!(sums.add(6, sample(1)) && sums.add(4, sample(2)));
        assert_eq!((sums.of(4).bytes, sums.of(6).bytes), (0, 3));
        sums.take_back(4, sample(2));
        assert_eq!(sums.of(6).bytes, 3);
        sums.take_back(6, sample(7));
        assert_eq!((sums.of(6).bytes, sums.of(6).objects_fixed), (0, 3));
    }

    #[test]
    fn a_thread_that_is_stopped_while_it_begins_a_peak_is_waited_for() {
        let sums = FreedSince::new();
        sums.peak.store(BUSY, Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(30));
                sums.peak.store(7, Release);
            });
            assert!(sums.add(7, sample(1)));
        });
        assert_eq!(sums.of(7).bytes, 1);
        sums.peak.store(BUSY, Relaxed);
        assert!(!sums.add(7, sample(1)), "but not for ever");
    }

    #[test]
    fn threads_that_begin_a_peak_at_once_lose_nothing() {
        let sums = FreedSince::new();
        for peak in 1..500 {
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| (0..20).for_each(|_| assert!(sums.add(peak, sample(1)))));
                }
            });
            assert_eq!((sums.of(peak).bytes, sums.of(peak).variance), (60, 120.0));
        }
    }
}
