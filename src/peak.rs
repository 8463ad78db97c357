//! The highest live memory so far, and what it consisted of, at constant cost per sample.
//!
//! Copying all live samples at each new peak would cost a walk over them. Here a new peak only draws a line between blocks (a
//! [`mark`](live_table::mark)), and what was live at the peak is put together when somebody asks:
//!
//! ```text
//!   live at the peak  =  live now, allocated before the line          the live table, filtered by mark
//!                     +  freed since, allocated before the line       per stack, in its record: FreedSince
//! ```
//!
//! So an allocation pays for one comparison, a free for three additions at most, and both only when sampled. The sums of a
//! stack belong to the peak whose mark they carry; the first free after a new peak begins them anew.
//!
//! Rejected: live totals per stack, copied when they first change after a peak. Each sample would change them, under a lock of
//! the stack, since a copy and a change at the same time would mix two moments.
//!
//! Threads that sample or free at the very moment of a peak may each be off by that one block. Blocks of the peak that are freed
//! while a snapshot walks over the tables may be in it twice, as live and as freed since.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::live_table::{self, SampledAlloc};
use crate::stack_table::{self, Totals};
use crate::stats::{COUNTERS, Counters};
use crate::sys::{clock, float::FloatGuard};

/// A new peak is one that exceeds the last by one part in this many: fewer lines to draw, and marks that don't run out.
pub const MARGIN: u64 = 256;

/// Live bytes at the peak. Atomic, because every thread that samples compares with it.
static BYTES: AtomicU64 = AtomicU64::new(0);
/// The mark drawn at the peak: blocks that were live then carry an earlier one. 0: no peak yet.
static MARK: AtomicU32 = AtomicU32::new(0);
/// When, by the wall clock.
static TIME_NANOS: AtomicU64 = AtomicU64::new(0);

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

/// The last peak; all 0 before the first sample. Context: any.
pub fn last() -> Peak {
    Peak {
        mark: MARK.load(Acquire),
        bytes: BYTES.load(Relaxed),
        time_nanos: TIME_NANOS.load(Relaxed) as i64,
    }
}

/// Live memory is `live_bytes` after a sample was entered. Context: hook.
pub fn consider(live_bytes: u64) {
    let last = BYTES.load(Relaxed);
    if live_bytes <= last.saturating_add(last / MARGIN) {
        return;
    }
    // The line before the exchange: if another thread finds a higher peak between the two, its line is the later one, and
    // either our exchange fails or our mark loses against its.
    let mark = live_table::mark();
    if BYTES.compare_exchange(last, live_bytes, Relaxed, Relaxed).is_ok() {
        TIME_NANOS.store(clock::wall_nanos() as u64, Relaxed);
        MARK.fetch_max(mark, Release);
    }
}

/// A sampled block goes away. Under the lock of its shard of the live table. Context: hook.
pub fn freed(entry: &SampledAlloc) {
    let peak = MARK.load(Relaxed);
    if entry.mark < peak
        && let Some(record) = stack_table::get(entry.stack)
    {
        let _float = FloatGuard::enter();
        if !record.freed_since.add(peak, totals(entry)) {
            Counters::add(&COUNTERS.frees_lock_busy);
        }
    }
}

/// A block that [`freed`] was told of has not gone away. Context: hook.
pub fn not_freed(entry: &SampledAlloc) {
    let peak = MARK.load(Relaxed);
    if entry.mark < peak
        && let Some(record) = stack_table::get(entry.stack)
    {
        let _float = FloatGuard::enter();
        record.freed_since.take_back(peak, totals(entry));
    }
}

fn totals(entry: &SampledAlloc) -> Totals {
    Totals {
        objects_fixed: entry.weight.objects_fixed(),
        bytes: entry.bytes(),
        variance: entry.weight.variance(entry.requested_size) as f64,
    }
}

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

impl FreedSince {
    /// Nothing, of no peak.
    pub const fn new() -> FreedSince {
        FreedSince {
            peak: AtomicU32::new(0),
            objects_fixed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            variance: AtomicU64::new(0),
        }
    }

    /// False when the sums could not be had: this thread itself was interrupted while it set them to nothing. Then the
    /// peak lacks this block. Context: hook.
    fn add(&self, peak: u32, sample: Totals) -> bool {
        for _ in 0..10_000 {
            match self.peak.load(Acquire) {
                BUSY => core::hint::spin_loop(),
                // Of this peak, or of one since: the block was live then too, or went at that very moment.
                known if known >= peak => {
                    self.objects_fixed.fetch_add(sample.objects_fixed, Relaxed);
                    self.bytes.fetch_add(sample.bytes, Relaxed);
                    change(&self.variance, sample.variance);
                    return true;
                }
                older => {
                    if self.peak.compare_exchange(older, BUSY, Acquire, Relaxed).is_ok() {
                        self.objects_fixed.store(0, Relaxed);
                        self.bytes.store(0, Relaxed);
                        self.variance.store(0, Relaxed);
                        self.peak.store(peak, Release);
                    }
                }
            }
        }
        false
    }

    fn take_back(&self, peak: u32, sample: Totals) {
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

#[cfg(test)]
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
