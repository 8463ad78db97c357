//! How long a snapshot holds a lock of the table of blocks, in CPU time of its thread: one line of JSON for each size.
//!
//! The walk over the live samples is the only place where a snapshot holds locks that a hook can wait for, one shard at a
//! time, for a copy of its entries. So the time between the last entry of one shard and the first of the next is a hold, and the
//! taking and giving back of one lock.
//!
//! `insert_max_us` is the longest entering of a sample on the way to that many: in the worst case it doubles its shard and
//! moves another shard's part of the filter, with the page faults of the new array.

use std::hint::black_box;

use cgoheap::internals::tables::block::SampledAlloc;
use cgoheap::internals::tables::blocks::{self as blocks, shard_index};
use cgoheap::internals::tables::stacks::StackId;
use cgoheap::internals::tables::weight::Weight;

fn thread_cpu_nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn address(n: u64) -> u64 {
    0x7000_0000_0000 + n * 48
}

fn main() {
    let snapshots: usize = std::env::var("BENCH_SNAPSHOTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000);
    let mut there = 0;
    for live in [1_000u64, 100_000, 1_000_000] {
        let mut insert_max = 0;
        for n in there..live {
            let before = thread_cpu_nanos();
            blocks::insert(SampledAlloc {
                address: address(n),
                requested_size: n % 5000,
                weight: Weight { objects: 1.5 },
                time_nanos: n,
                stack: StackId((n % 10_000) as u32),
                mark: 0,
            });
            insert_max = insert_max.max(thread_cpu_nanos() - before);
        }
        there = live;
        // The larger, the fewer: each is a walk over all entries.
        let snapshots = (snapshots * 100_000 / live.max(100_000) as usize).max(10);
        let mut holds: Vec<u64> = Vec::with_capacity(snapshots * 256);
        let mut sums = vec![(0u64, 0f64); 10_000];
        for _ in 0..snapshots {
            let (mut current, mut since) = (usize::MAX, 0);
            blocks::for_each(|entry| {
                let began = thread_cpu_nanos();
                // What a snapshot does with each.
                if let Some(sum) = sums.get_mut(entry.stack.0 as usize) {
                    sum.0 = sum.0.wrapping_add(entry.bytes());
                    sum.1 += entry.weight.variance(entry.requested_size) as f64;
                }
                if shard_index(entry.address) != current {
                    if current != usize::MAX {
                        holds.push(began - since);
                    }
                    current = shard_index(entry.address);
                }
                since = thread_cpu_nanos();
            });
        }
        black_box(&sums);
        holds.sort_unstable();
        let at = |share: f64| holds[((holds.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        println!(
            "{{\"live\": {live}, \"snapshots\": {snapshots}, \"p50_us\": {:.2}, \"p999_us\": {:.2}, \"max_us\": {:.2}, \"insert_max_us\": {:.2}}}",
            at(0.5),
            at(0.999),
            at(1.0),
            insert_max as f64 / 1e3
        );
    }
}
