//! Threads whose samples are a new peak, and threads that free what was live then.

#![allow(dead_code, reason = "the files are built as they are; the model uses part of them")]

mod sys {
    pub mod futex {
        use loom::sync::atomic::AtomicU32;

        /// Nobody wakes who waits for sums: it looks again after a while, which here is when others have gone on.
        pub fn wait(_word: &AtomicU32, _expected: u32, _timeout_nanos: Option<u64>) {
            loom::thread::yield_now();
        }
    }
}

mod weight {
    /// As in src/tables/weight.rs.
    #[derive(Clone, Copy, Debug, Default, PartialEq)]
    pub struct Totals {
        pub objects_fixed: u64,
        pub bytes: u64,
        pub variance: f64,
    }
}

#[path = "../../../src/tables/freed_since.rs"]
mod freed_since;
#[path = "../../../src/tables/highest.rs"]
mod highest;

use cgoheap_loom::check;
use freed_since::FreedSince;
use highest::Highest;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use weight::Totals;

fn sample(bytes: u64) -> Totals {
    Totals {
        objects_fixed: bytes * 3,
        bytes,
        variance: bytes as f64 * 2.0,
    }
}

/// What sampling does with the peak.
struct Program {
    highest: Highest,
    live_bytes: AtomicU64,
    /// As in src/tables/block.rs.
    mark: AtomicU32,
}

impl Program {
    /// The mark that the block has, and the live bytes if they became the peak.
    fn allocate(&self, bytes: u64) -> (u32, Option<u64>) {
        let mark = self.mark.load(Relaxed);
        let live = self.live_bytes.fetch_add(bytes, Relaxed) + bytes;
        let mut peak = None;
        let now = || {
            peak = Some(live);
            1
        };
        self.highest.check(live, || self.mark.fetch_add(1, Relaxed) + 1, now);
        (mark, peak)
    }
}

/// A thread that doesn't know yet of another's peak may be off by its next block; the one whose peak it is may not.
#[test]
fn a_peak_has_the_blocks_that_its_bytes_count_and_none_that_came_later() {
    const LARGE: u64 = 1000;
    check(3, || {
        let program = Arc::new(Program {
            highest: Highest::new(),
            live_bytes: AtomicU64::new(0),
            mark: AtomicU32::new(0),
        });
        let threads = [0, 1].map(|_| {
            let program = program.clone();
            // The second block is too small for a new peak, once both large ones are there.
            loom::thread::spawn(move || [program.allocate(LARGE), program.allocate(1)])
        });
        let blocks: Vec<[_; 2]> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let peak = program.highest.last();
        assert!(
            peak.bytes >= 2 * LARGE,
            "the last that is seen to be higher is the peak"
        );
        for [(large, _), (small, _)] in &blocks {
            assert!(*large < peak.mark, "all large blocks are in it");
            assert!(
                peak.bytes < 2 * LARGE + 2 || *small < peak.mark,
                "and the small ones, if they are counted"
            );
        }
        for [(_, was_peak), (small, _)] in blocks {
            assert!(
                was_peak != Some(peak.bytes) || small >= peak.mark,
                "what came later is not"
            );
        }
        assert!(program.allocate(1).0 >= peak.mark, "nor what came much later");
    });
}

#[test]
fn what_is_freed_after_a_peak_is_counted_once_whoever_begins_the_sums() {
    check(3, || {
        let sums = Arc::new(FreedSince::new());
        assert!(sums.add(1, sample(100)), "of an earlier peak");
        let threads = [1, 10].map(|bytes| {
            let sums = sums.clone();
            loom::thread::spawn(move || assert!(sums.add(2, sample(bytes))))
        });
        assert!(
            sums.of(2).bytes <= 11,
            "who looks meanwhile sees nothing of the earlier peak"
        );
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(sums.of(2), sample(11));
        sums.take_back(2, sample(1));
        assert_eq!(sums.of(2), sample(10));
    });
}

/// Each of its numbers counts there, or went before the sums were begun anew; those of the others are all there.
#[test]
fn a_free_that_has_read_the_mark_of_the_peak_before_spoils_nothing() {
    check(3, || {
        let sums = Arc::new(FreedSince::new());
        let threads = [(1, 1), (2, 10)].map(|(peak, bytes)| {
            let sums = sums.clone();
            loom::thread::spawn(move || assert!(sums.add(peak, sample(bytes))))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let (freed, least, most) = (sums.of(2), sample(10), sample(11));
        assert!([least.bytes, most.bytes].contains(&freed.bytes), "{freed:?}");
        assert!(
            [least.objects_fixed, most.objects_fixed].contains(&freed.objects_fixed),
            "{freed:?}"
        );
        assert!([least.variance, most.variance].contains(&freed.variance), "{freed:?}");
    });
}
