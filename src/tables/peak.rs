//! The highest live memory so far, and what it consisted of, at constant cost per sample.
//!
//! Copying all live samples at each new peak would cost a walk over them. Here a new peak only draws a line between blocks (a
//! [`mark`](block::mark)), and what was live at the peak is put together when it is asked for:
//!
//! ```text
//!   live at the peak  =  live now, allocated before the line          the table of blocks, filtered by mark
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

use super::block::{self, SampledAlloc};
use super::counters::{COUNTERS, Counters};
use super::highest::Highest;
pub use super::highest::{MARGIN, Peak};
use super::stacks;
use super::weight::Totals;
use crate::sys::{clock, float::FloatGuard};

/// The peak of this process.
static PEAK: Highest = Highest::new();

/// The last peak; all 0 before the first sample. Context: any.
pub fn last() -> Peak {
    PEAK.last()
}

/// To be called after a sample was inserted, with the live bytes: draws the line if they are a new peak. Context: hook.
pub fn check(live_bytes: u64) {
    PEAK.check(live_bytes, block::mark, || clock::wall_nanos() as u64);
}

/// A sampled block goes away. Under the lock of its shard of the table of blocks. Context: hook.
pub fn freed(entry: &SampledAlloc) {
    let peak = PEAK.mark();
    if entry.mark < peak
        && let Some(record) = stacks::get(entry.stack)
    {
        let _float = FloatGuard::enter();
        if !record.freed_since.add(peak, totals(entry)) {
            Counters::add(&COUNTERS.frees_lock_busy);
        }
    }
}

/// A block that [`freed`] was told of has not gone away. Context: hook.
pub fn not_freed(entry: &SampledAlloc) {
    let peak = PEAK.mark();
    if entry.mark < peak
        && let Some(record) = stacks::get(entry.stack)
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
