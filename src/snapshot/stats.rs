//! Counters of everything: what was sampled, what was lost, and why.
//!
//! Counters are relaxed atomics: each is a plain number with no order to keep towards any other, and only sampled
//! allocations touch them.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::tables::counters::Lost;

/// What of the process go/interpose captures (`enum cgoheap_interpose_state` of `include/cgoheap_backing.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Interpose {
    /// Not linked: what is compiled with the header, and Rust code, alone.
    #[default]
    Absent = 0,
    /// Every malloc of the process comes to us.
    Whole = 1,
    /// The linker's `--wrap`: what is linked statically comes to us.
    Wrap = 2,
    /// The program has another allocator and keeps it: the header and Rust code alone.
    Aside = 3,
    /// Another allocator has replaced some of the functions: sampling is off, since its numbers would be wrong.
    Partly = 4,
    /// The program's own code comes to us, its shared libraries go elsewhere.
    NotLibraries = 5,
}

/// Written once, before main. Atomic, because a library with us in it may be loaded by any thread.
static INTERPOSE: AtomicU64 = AtomicU64::new(Interpose::Absent as u64);

/// What go/interpose found out about itself. Before main.
pub fn set_interpose(state: u64) {
    INTERPOSE.store(state, Relaxed);
}

/// The number of an [`Interpose`].
pub fn interpose() -> u64 {
    INTERPOSE.load(Relaxed)
}

/// Totals of this process, as [`read`] copies them.
///
/// Objects and bytes are estimates of *requested* memory, scaled up from the samples (exact at interval 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stats {
    /// Mean bytes between samples; 1 samples everything, 0 is off.
    pub interval_bytes: u64,
    /// Blocks allocated since the start, estimated.
    pub alloc_objects: u64,
    /// Bytes allocated since the start, estimated.
    pub alloc_bytes: u64,
    /// Blocks not freed yet, estimated.
    pub live_objects: u64,
    /// Bytes not freed yet, estimated.
    pub live_bytes: u64,
    /// Half the width of the 95 % interval around `alloc_bytes`; 0 when every allocation was sampled.
    pub alloc_bytes_margin: u64,
    /// The same around `live_bytes`, wider by `live_bytes_in_doubt`.
    pub live_bytes_margin: u64,
    /// Samples taken since the start.
    pub samples: u64,
    /// Sampled blocks not freed yet.
    pub live_samples: u64,
    /// Distinct stacks in the table of stacks.
    pub stacks: u64,
    /// Bytes of memory that cgoheap itself has mapped for its tables (not counting this library's code).
    pub own_bytes: u64,
    /// Whether Go frames are joined: a [`GoFrames`](crate::unwind::go::GoFrames) as its number.
    pub go_frames: u64,
    /// How much of the process go/interpose captures: an [`Interpose`] as its number.
    pub interpose: u64,
    /// What was lost, by reason.
    pub lost: Lost,
    /// The highest `live_bytes` so far; see [`crate::tables::peak`].
    pub peak_bytes: u64,
    /// When that was: wall-clock nanoseconds since the epoch; 0 before the first sample.
    pub peak_time_nanos: i64,
    /// Bytes of `live_bytes` that may have been freed by code without hooks, by estimate: of a stack of which so much is known to have
    /// been, the same share of what is live.
    pub live_bytes_in_doubt: u64,
}

/// Copies all totals and counters. Walks the table of stacks and takes the locks of the table of blocks one after the other.
/// From any thread. Context: outside hooks.
pub fn read() -> Stats {
    let _guard = crate::sys::guard::Guard::enter();
    read_with(crate::snapshot::doubt::read())
}

/// As [`read`], with the bytes in doubt, which a snapshot knows already.
pub(super) fn read_with(live_bytes_in_doubt: u64) -> Stats {
    use crate::tables::counters::COUNTERS;
    use crate::tables::weight::{margin95, whole_objects};
    use crate::{record::sampler, sys::pages, tables::blocks, tables::stacks, unwind};
    let _guard = crate::sys::guard::Guard::enter();
    blocks::tidy();
    let live = blocks::totals();
    let peak = crate::tables::peak::last();
    let mut stats = Stats {
        interval_bytes: sampler::interval(),
        live_objects: whole_objects(live.objects_fixed),
        live_bytes: live.bytes,
        live_bytes_margin: margin95(live.variance).saturating_add(live_bytes_in_doubt),
        live_bytes_in_doubt,
        samples: blocks::samples(),
        live_samples: blocks::len() as u64,
        own_bytes: pages::mapped_bytes(),
        go_frames: u64::from(unwind::go::state()),
        interpose: interpose(),
        lost: COUNTERS.read(),
        peak_bytes: peak.bytes,
        peak_time_nanos: peak.time_nanos,
        ..Stats::default()
    };
    let (mut alloc_objects_fixed, mut alloc_variance) = (0u64, 0.0f64);
    for id in 0..stacks::end_of_ids() as u32 {
        let Some(record) = stacks::get(stacks::StackId(id)) else {
            continue;
        };
        stats.stacks += u64::from(id != 0);
        let totals = record.totals();
        alloc_objects_fixed = alloc_objects_fixed.saturating_add(totals.objects_fixed);
        stats.alloc_bytes = stats.alloc_bytes.saturating_add(totals.bytes);
        alloc_variance += totals.variance;
    }
    stats.alloc_bytes_margin = margin95(alloc_variance);
    stats.alloc_objects = whole_objects(alloc_objects_fixed);
    stats
}
