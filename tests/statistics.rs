//! The sampler by itself: the distances that it draws, how often it picks a size, what happens to the estimates when the
//! interval changes midway, and that off is off while threads run. `truth.rs` compares the estimates of whole sites with the truth.
//!
//! Odds of a false alarm: seeds are fixed, so each test passes or fails for good as long as the sampler stays what it is.
//! The odds given beside each bound are those with fresh seeds.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cgoheap::internals::record::sampler;
use cgoheap::internals::sys::thread::{self, ThreadState};
use cgoheap::internals::tables::weight::Weight;

// SAFETY: as in cgoheap.h.
unsafe extern "C" {
    fn cgoheap_malloc(size: usize) -> *mut c_void;
    fn cgoheap_free(block: *mut c_void);
}

/// The interval is one for the process: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers for seeds and sizes: SplitMix64, which shares nothing with the sampler's own.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The calling thread's state as that of a new thread, whose draws are those of `seed`.
fn fresh_thread(seed: u64) -> &'static mut ThreadState {
    // SAFETY: the thread's own state; each test thread holds one such reference at a time, and calls no hook meanwhile.
    let state = unsafe { &mut *thread::state() };
    state.countdown = 0;
    state.base = 0;
    state.random = Random(seed).next() | 1;
    state
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn distances_are_exponential_with_the_interval_as_mean() {
    let _turn = turn();
    const N: usize = 1_000_000;
    for interval in [2u64, 4096, sampler::DEFAULT_INTERVAL, sampler::MAX_INTERVAL] {
        assert!(sampler::set_interval(interval));
        let state = fresh_thread(interval);
        let distances: Vec<f64> = (0..N)
            .map(|_| {
                // Larger than any distance: always sampled, and the next distance is drawn.
                assert!(sampler::charge(state, u64::MAX >> 1, true).is_some());
                (state.countdown.saturating_sub(state.base) + state.held_back) as f64
            })
            .collect();
        // Distances are rounded down to whole bytes, which makes them geometric: P(distance >= k) = exp(-k/R).
        let q = (-1.0 / interval as f64).exp();
        let (expected, deviation) = (q / (1.0 - q), q.sqrt() / (1.0 - q));
        let z = (mean(&distances) - expected) / deviation * (N as f64).sqrt();
        assert!(z.abs() < 4.0, "interval {interval}: mean is {z:+.2} deviations off"); // 1 in 16,000

        // The extremes: the largest of N is about ln N intervals. Beyond ln N + 12: 1 in 160,000; below ln N - 3: 1 in 500
        // million.
        let largest = distances.iter().copied().fold(0.0, f64::max) / interval as f64;
        let usual = (N as f64).ln();
        assert!(
            (usual - 3.0..usual + 12.0).contains(&largest),
            "interval {interval}: largest {largest}"
        );

        // Between: the share above each of twelve bounds.
        for bound in [0.001, 0.01, 0.1, 0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0] {
            let bytes = (bound * interval as f64).ceil();
            let p = (-bytes / interval as f64).exp();
            let share = distances.iter().filter(|distance| **distance >= bytes).count() as f64 / N as f64;
            let deviation = (p * (1.0 - p) / N as f64).sqrt();
            let off = (share - p).abs();
            assert!(
                off <= 4.5 * deviation,
                "interval {interval}, bound {bound}: {share} for {p}"
            ); // 1 in 150,000 each
        }
    }
}

#[test]
fn a_block_is_sampled_as_often_as_its_size_says() {
    let _turn = turn();
    const INTERVAL: u64 = 1 << 16;
    assert!(sampler::set_interval(INTERVAL));
    let mut random = Random(7);
    for size in [1, 7, 64, INTERVAL / 10, INTERVAL, 4 * INTERVAL, 100 * INTERVAL] {
        let p = -(-(size as f64) / INTERVAL as f64).exp_m1();
        let n = ((5000.0 / p) as u64).max(100_000);
        let state = fresh_thread(random.next());
        let picked = (0..n).filter(|_| sampler::charge(state, size, true).is_some()).count() as f64;
        let deviation = (n as f64 * p * (1.0 - p)).sqrt();
        let off = (picked - n as f64 * p).abs();
        assert!(off <= 4.0 * deviation + 1e-9, "size {size}: {picked} of {n}, p = {p}"); // 1 in 16,000 each
        assert!((Weight::of(size, INTERVAL).objects * p - 1.0).abs() < 1e-9);
    }
    // Blocks of no bytes have no place on the line, but at interval 1 all are seen.
    let state = fresh_thread(random.next());
    assert!((0..1_000_000).all(|_| sampler::charge(state, 0, true).is_none()));
    assert!(sampler::set_interval(1));
    assert!((0..1000).all(|size| sampler::charge(state, size, true) == Some(Weight { objects: 1.0 })));
    assert!(sampler::set_interval(0));
    assert!((0..1000).all(|size| sampler::charge(state, size << 30, true).is_none()));
}

/// A thread that has every interval in turn, half-way through a distance each time: what the earlier interval left must
/// bias nothing, neither for small blocks nor for large ones.
#[test]
fn an_interval_that_changes_midway_biases_nothing() {
    let _turn = turn();
    const SEEDS: usize = 2000;
    let intervals = [1 << 12, 1 << 16, 1 << 10, 0, 1 << 14, 1, 1 << 16];
    let mut z = Vec::with_capacity(SEEDS);
    let mut z_bytes = Vec::with_capacity(SEEDS);
    for seed in 0..SEEDS as u64 {
        let state = fresh_thread(seed + 1);
        let mut random = Random(!seed);
        let (mut objects, mut bytes, mut variance, mut bytes_variance) = (0.0, 0.0, 0.0, 0.0);
        for (round, interval) in intervals.iter().cycle().take(28).enumerate() {
            assert!(sampler::set_interval(*interval));
            // Phases of very different lengths: of a few blocks, of many.
            for _ in 0..[3, 500, 40][round % 3] {
                let size = match random.next() % 10 {
                    0 => 1 + random.next() % 200_000,
                    _ => 1 + random.next() % 300,
                };
                let weight = sampler::charge(state, size, true);
                if *interval == 0 {
                    assert!(weight.is_none());
                    continue;
                }
                let odds = match *interval {
                    1 => 0.0,
                    interval => 1.0 / (size as f64 / interval as f64).exp_m1(), // (1-p)/p
                };
                objects += weight.map_or(0.0, |weight| weight.objects) - 1.0;
                bytes += weight.map_or(0.0, |weight| weight.objects) * size as f64 - size as f64;
                variance += odds;
                bytes_variance += odds * (size * size) as f64;
            }
        }
        z.push(objects / f64::sqrt(variance));
        z_bytes.push(bytes / f64::sqrt(bytes_variance));
    }
    for (what, z) in [("blocks", &z), ("bytes", &z_bytes)] {
        let mean = mean(z);
        let variance = z.iter().map(|z| (z - mean) * (z - mean)).sum::<f64>() / (SEEDS - 1) as f64;
        println!("{what}: mean {mean:+.4}, variance {variance:.4}");
        assert!(mean.abs() < 3.0 / (SEEDS as f64).sqrt(), "{what}: mean {mean:+.4}"); // 1 in 370
        // Their deviation is sqrt(2/2000) = 0.032 for the normal distribution; these have somewhat heavier tails.
        assert!((0.8..1.25).contains(&variance), "{what}: variance {variance:.4}");
    }
}

/// Off and on again while threads run: what begins and ends while sampling is on is seen, what does so while it is off is
/// not, and only what happens during a change may be either.
#[test]
fn off_is_off_and_on_is_on_while_threads_run() {
    let _turn = turn();
    const ON: u64 = 1;
    const OFF: u64 = 3;
    assert!(sampler::set_interval(0));
    // Counts up: 0 changing to on, 1 on, 2 changing to off, 3 off, and so on.
    let phase = AtomicU64::new(OFF);
    let done = AtomicU64::new(0);
    let before = cgoheap::internals::snapshot::stats::read();
    let (sure, either, not) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut sure, mut either, mut not) = (0u64, 0u64, 0u64);
                    while done.load(SeqCst) == 0 {
                        let then = phase.load(SeqCst);
                        // SAFETY: as malloc and free.
                        unsafe { cgoheap_free(cgoheap_malloc(24)) };
                        let now = phase.load(SeqCst);
                        match (now == then, now % 4) {
                            (true, ON) => sure += 1,
                            (true, OFF) => not += 1,
                            _ => either += 1,
                        }
                    }
                    (sure, either, not)
                })
            })
            .collect();
        for _ in 0..100 {
            for (interval, between) in [(1, 1), (0, 3)] {
                phase.fetch_add(1, SeqCst);
                assert!(sampler::set_interval(interval));
                assert_eq!(phase.fetch_add(1, SeqCst) % 4, between - 1);
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        done.store(1, SeqCst);
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .fold((0, 0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1, sum.2 + own.2))
    });
    let after = cgoheap::internals::snapshot::stats::read();
    let samples = after.samples - before.samples;
    assert!(sure > 1000 && not > 1000, "{sure} and {not} calls: this shows nothing");
    assert!(
        (sure..=sure + either).contains(&samples),
        "{samples} samples of {sure} to {}",
        sure + either
    );
    assert_eq!(after.alloc_objects - before.alloc_objects, samples);
    assert_eq!(after.live_objects, before.live_objects);
    assert_eq!(after.lost.samples_lock_busy + after.lost.frees_lock_busy, 0);
}
