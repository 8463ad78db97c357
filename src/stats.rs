//! Counters of everything: what was sampled, what was lost, and why.
//!
//! Counters are relaxed atomics: each is a plain number with no order to keep towards any other, and only sampled
//! allocations touch them.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The process's counters of what was lost or mended; see [`Lost`] for a copy of them.
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        /// The one set of counters of this process.
        pub(crate) static COUNTERS: Counters = Counters { $($name: AtomicU64::new(0),)* };

        /// What was lost, cut short or mended since the start, by reason. All are numbers of events.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct Lost { $($(#[$doc])* pub $name: u64,)* }

        impl Counters {
            /// A copy of all counters, each read for itself.
            pub(crate) fn read(&self) -> Lost {
                Lost { $($name: self.$name.load(Relaxed),)* }
            }
        }

        impl Lost {
            /// Each counter with the words that the profile's comment uses, in the order of the C struct.
            pub fn described(&self) -> Vec<(&'static str, u64)> {
                vec![$(($text, self.$name),)*]
            }
        }
    };
}

counters! {
    /// Samples dropped: no memory for a table of ours.
    samples_no_memory: "samples dropped: no memory for our tables",
    /// Samples dropped: a lock of ours was held for too long (by a thread that was stopped, or across a fork).
    samples_lock_busy: "samples dropped: table busy",
    /// Samples booked on `[stacks beyond the limit]`: the table of distinct stacks is full.
    stacks_table_full: "samples without a stack: stack table full",
    /// Frees of sampled blocks that could not be booked; healed when the address is handed out again.
    frees_lock_busy: "frees not booked: table busy",
    /// Live samples whose address was handed out again: a free that no hook saw. Corrected, and counted here.
    frees_unseen: "blocks freed by code without hooks, corrected",
    /// Stacks cut at the greatest depth kept.
    stacks_too_deep: "stacks cut: too deep",
    /// Stacks that end at code without unwind tables.
    stacks_no_unwind_info: "stacks cut: no unwind table",
    /// Stacks that end at an unwind table we can't use.
    stacks_bad_unwind_info: "stacks cut: unusable unwind table",
    /// Stacks that end at memory that can't be read.
    stacks_unreadable: "stacks cut: stack memory not readable",
    /// Stacks of C code that the Go runtime called on a system stack.
    stacks_go_system: "stacks cut: called by the Go runtime on a system stack",
    /// Stacks of C code called from Go while Go frames were off.
    stacks_go_off: "stacks cut: Go frames are off",
    /// Stacks whose goroutine part could not be followed.
    stacks_bad_go: "stacks cut: goroutine stack not readable",
    /// Loaded objects beyond what the registry holds: their frames have no mapping.
    modules_table_full: "loaded objects beyond the registry's limit",
}

impl Counters {
    /// Adds one. Context: hook.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}

/// Whether Go frames are joined to C stacks, and if not, why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum GoFrames {
    /// No Go side has asked for it (a C or Rust program, or the Go package isn't initialised yet).
    #[default]
    NotAsked = 0,
    /// The check at start passed: stacks run from C through the goroutine to `runtime.goexit`.
    Joined = 1,
    /// The check at start failed; the Go side knows what was wrong (`GoFramesProblem`). C frames only.
    CheckFailed = 2,
}

/// The whole-process door (`enum cgoheap_interpose_state` of `include/cgoheap_real.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Interpose {
    /// Not linked: the header door only.
    #[default]
    Absent = 0,
    /// Every malloc of the process comes to us.
    Whole = 1,
    /// The linker's `--wrap`: what is linked statically comes to us.
    Wrap = 2,
    /// The program has another allocator and keeps it: the header door only.
    Aside = 3,
    /// Another allocator has replaced some of the functions: sampling is off, since its numbers would be wrong.
    Partly = 4,
    /// The program's own code comes to us, its shared libraries go elsewhere.
    NotLibraries = 5,
}

/// Written once, before main. Atomic, because a library with us in it may be loaded by any thread.
static INTERPOSE: AtomicU64 = AtomicU64::new(Interpose::Absent as u64);

/// What the whole-process door found out about itself.
pub fn set_interpose(state: u64) {
    INTERPOSE.store(state, Relaxed);
}

/// The number of an [`Interpose`].
pub fn interpose() -> u64 {
    INTERPOSE.load(Relaxed)
}

/// Totals of this process, as [`crate::read_stats`] copies them.
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
    /// The same around `live_bytes`.
    pub live_bytes_margin: u64,
    /// Samples taken since the start.
    pub samples: u64,
    /// Sampled blocks not freed yet.
    pub live_samples: u64,
    /// Distinct stacks in the stack table.
    pub stacks: u64,
    /// Bytes of memory that cgoheap itself has mapped for its tables (not counting this library's code).
    pub own_bytes: u64,
    /// Whether Go frames are joined: a [`GoFrames`] as its number.
    pub go_frames: u64,
    /// Whether the whole-process door is in the program: an [`Interpose`] as its number.
    pub interpose: u64,
    /// What was lost, by reason.
    pub lost: Lost,
    /// The highest `live_bytes` so far; see [`crate::peak`].
    pub peak_bytes: u64,
    /// When that was: wall-clock nanoseconds since the epoch; 0 before the first sample.
    pub peak_time_nanos: i64,
}

/// Copies all totals and counters. Walks the stack table and takes the live table's locks one after the other.
/// Context: control.
pub fn read() -> Stats {
    use crate::{live_table, sampler, snapshot::margin95, stack_table, sys::pages, unwind};
    let _guard = crate::hook::guard::Guard::enter();
    let live = live_table::totals();
    let peak = crate::peak::last();
    let mut stats = Stats {
        interval_bytes: sampler::interval(),
        live_objects: sampler::whole_objects(live.objects_fixed),
        live_bytes: live.bytes,
        live_bytes_margin: margin95(live.variance),
        samples: live_table::samples(),
        live_samples: live_table::len() as u64,
        own_bytes: pages::mapped_bytes(),
        go_frames: u64::from(unwind::go::state()),
        interpose: interpose(),
        lost: COUNTERS.read(),
        peak_bytes: peak.bytes,
        peak_time_nanos: peak.time_nanos,
        ..Stats::default()
    };
    let (mut alloc_objects_fixed, mut alloc_variance) = (0u64, 0.0f64);
    for id in 0..stack_table::end_of_ids() as u32 {
        let Some(record) = stack_table::get(stack_table::StackId(id)) else {
            continue;
        };
        stats.stacks += u64::from(id != 0);
        let totals = record.totals();
        alloc_objects_fixed = alloc_objects_fixed.saturating_add(totals.objects_fixed);
        stats.alloc_bytes = stats.alloc_bytes.saturating_add(totals.bytes);
        alloc_variance += totals.variance;
    }
    stats.alloc_bytes_margin = margin95(alloc_variance);
    stats.alloc_objects = sampler::whole_objects(alloc_objects_fixed);
    stats
}
