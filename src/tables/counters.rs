//! Counters of what was lost or corrected, and why: relaxed atomics, each a number with no order to keep towards any other.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sys::pages;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The process's counters of what was lost or corrected; see [`Lost`] for a copy of them.
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
                let counted = Lost { $($name: self.$name.load(Relaxed),)* };
                Lost { own_memory_refused: pages::refused(), ..counted }
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
    /// Samples whose stack was shortened, or that are without one: the table of distinct stacks is full.
    stacks_table_full: "stacks shortened or left out: stack table full",
    /// Frees of sampled blocks that could not be recorded; healed when the address is handed out again.
    frees_lock_busy: "frees not recorded: table busy",
    /// Live samples whose address was handed out again, sampled or not: a free that no hook saw. Corrected, and counted here.
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
    /// Stacks that end where an unwind table had to be read, and no stack of ours was free to do it on.
    stacks_no_room: "stacks cut: no room to read an unwind table in",
    /// Frames in loaded objects beyond what the registry holds: unwound, but without names and mapping.
    modules_table_full: "frames without names: registry of loaded objects full",
    /// How often cgoheap asked for more memory than CGOHEAP=own= allows it. What that cost, other counters say. (Counted by
    /// [`pages`], which knows.)
    own_memory_refused: "requests of cgoheap's own for memory beyond CGOHEAP=own=",
}

impl Counters {
    /// Adds one. Context: hook.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }
}
