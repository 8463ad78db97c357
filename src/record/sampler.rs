//! The sampler: which allocation is sampled, and how much it stands for.
//!
//! # The process
//!
//! Sample points lie on the line of all bytes ever requested, a Poisson process with one point in R bytes on average
//! (R is the *sampling interval*; Go calls it a rate, the profile a period). An allocation of S bytes is sampled when a
//! point lies in it:
//!
//! ```text
//!   p(S) = 1 - exp(-S / R)
//! ```
//!
//! A sampled block then stands for 1/p blocks and S/p bytes (Horvitz and Thompson 1952): unbiased for counts and bytes,
//! and, being the conditional expectation of the estimators that count points, never of larger variance than they.
//! Worked numbers at R = 512 KiB: 16 bytes -> p = 1/32768, so a sample stands for 32,768 blocks; 512 KiB -> p = 0.632,
//! 1.58 blocks; 5 MiB -> p = 0.99995. R = 1 samples everything, exactly: p = 1. (Blocks of no bytes are sampled at R = 1
//! only.)
//!
//! # The countdown
//!
//! Each thread has the distance to its next point as a countdown *above a global threshold*. The unsampled path is: take
//! the size off the countdown, compare with the threshold, store. One comparison serves four purposes:
//!
//! ```text
//!   2^64 ----------------------------------------------------------
//!          threshold + distance   countdown of a thread
//!          threshold              below: slow path. `set_interval` raises it above every
//!                                 countdown there is, so each thread's next allocation notices
//!   2^36   FIRST_THRESHOLD
//!      1   GUARD                  this thread is inside the profiler: do nothing
//!      0   a thread's first allocation: nothing drawn yet
//! ```
//!
//! The distance is exponentially distributed, hence without memory: what is left of it when the interval changes can be
//! thrown away and drawn anew, and a thread's first allocation is charged against its first draw like any other. Work
//! done under the guard is not charged.
//!
//! # Looking at addresses
//!
//! A sampled block that code without hooks has freed stays in the table of blocks. Its address comes back sooner or later, as a
//! rule in an allocation that isn't sampled; whoever allocates it knows that the entry is stale. The unsampled path can't look:
//! it ends in a jump to the backing allocator, before there is an address. The slow path does look, at every allocation that
//! comes its way. So a thread takes it on purpose at times: it holds the distance back ([`ThreadState::held_back`]) and leaves the
//! countdown below the threshold.
//!
//! ```text
//!   sample           LOOK_BYTES                                                          sample
//!     |  slow, looked at  |                    unsampled path                              |      as a rule
//!     |                             slow, looked at                                        |      while blocks are found
//! ```
//!
//! As a rule that is for the first bytes behind a sample, [`LOOK_BYTES`] or an [`LOOK_PART`]th of the interval: enough to notice. Once
//! a stale entry is found, every allocation of every thread is looked at until none has been found for a minute
//! ([`blocks::is_healing`]): then such an entry lasts until its address is used again, whether that is sampled or not. What is charged
//! stays the same, and so do the odds of being sampled.
//!
//! Without it, entries would last until their address is *sampled* again: for 40 bytes at the default interval 13,000 uses. A
//! library that takes over and frees strings of a pool of 1 MB grew to 1,991 MB that way.

use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::record::counting;
use crate::sys::lock::Lock;
use crate::sys::thread::ThreadState;
use crate::tables::blocks;
use crate::tables::weight::Weight;

/// Mean bytes between samples unless it is set: that of Go's own heap profile.
pub const DEFAULT_INTERVAL: u64 = 512 * 1024;
/// The largest interval that [`set_interval`] takes.
pub const MAX_INTERVAL: u64 = 1 << 40;

/// So many bytes are looked at behind each sample, at most ...
const LOOK_BYTES: u64 = 2048;
/// ... and of the interval at most one part in this many: a look costs less than a tenth of a sample, an unsampled call a quarter of that.
const LOOK_PART: u64 = 256;
/// While all are looked at, a thread asks after so many bytes whether that still holds.
const LOOK_ASK_BYTES: u64 = 1 << 18;
/// A block counts as so many bytes of these at least: blocks of no bytes are looked at too, but not for ever.
const LOOK_LEAST: u64 = 16;

/// With sampling off a thread looks in this many bytes.
const OFF_DISTANCE: u64 = 1 << 36;
const FIRST_THRESHOLD: u64 = OFF_DISTANCE;

/// Read by every allocation, written by `set_interval` only: it stays in every core's cache.
pub(crate) static THRESHOLD: AtomicU64 = AtomicU64::new(FIRST_THRESHOLD);
/// The same for the entries of go/interpose (entries.h), or KEEP_OUT, above every countdown, where these are to leave all calls
/// to the program's allocator. Set once, before main, and by `set_interval`.
#[unsafe(export_name = "cgoheap_entry_threshold")]
static ENTRY_THRESHOLD: AtomicU64 = AtomicU64::new(FIRST_THRESHOLD);
const KEEP_OUT: u64 = u64::MAX;
/// Atomic, because threads read it while `set_interval` writes; always written before THRESHOLD.
static INTERVAL: AtomicU64 = AtomicU64::new(DEFAULT_INTERVAL);
/// Set once by `switch_off_for_good`. Protected by SETTING.
static OFF_FOR_GOOD: AtomicBool = AtomicBool::new(false);
/// Whether the program has set the interval: then the environment's comes too late. Protected by SETTING.
static SET_BY_PROGRAM: AtomicBool = AtomicBool::new(false);
/// Serialises `set_interval`.
static SETTING: Lock<()> = Lock::new(());

/// The longest distance ever drawn for an interval: exp(-64) of all draws would be longer, 1 in 6e27.
const fn longest_distance(interval: u64) -> u64 {
    match interval {
        0 => OFF_DISTANCE,
        1 | COUNT_ONLY => 0,
        _ => interval.saturating_mul(64),
    }
}

/// Mean bytes between samples; 0 is off. Context: any.
pub fn interval() -> u64 {
    match INTERVAL.load(Acquire) {
        COUNT_ONLY => BEFORE_COUNTING.load(Relaxed),
        interval => interval,
    }
}

/// Sets the mean bytes between samples; every thread's next allocation obeys. Returns false, and changes nothing, above
/// [`MAX_INTERVAL`] or after some 2^28 changes of the interval. Context: outside hooks.
pub fn set_interval(interval: u64) -> bool {
    if interval > MAX_INTERVAL {
        return false;
    }
    let _setting = SETTING.lock();
    SET_BY_PROGRAM.store(true, Relaxed);
    set_interval_locked(interval)
}

/// The same for the environment's wish, which gives way to the program's. Context: hook.
pub fn set_interval_from_environment(interval: u64) -> bool {
    let Some(_setting) = SETTING.lock_bounded() else {
        return false;
    };
    interval <= MAX_INTERVAL && !SET_BY_PROGRAM.load(Relaxed) && set_interval_locked(interval)
}

fn set_interval_locked(interval: u64) -> bool {
    let old = INTERVAL.load(Relaxed);
    if OFF_FOR_GOOD.load(Relaxed) {
        return interval == 0;
    }
    if old == COUNT_ONLY {
        BEFORE_COUNTING.store(interval, Relaxed);
        return true;
    }
    old == interval || change(old, interval)
}

/// Makes every thread's next allocation take the slow path and draw anew, so that [`blocks::is_healing`] is noticed at once. The
/// distance has no memory, so nothing else changes. Where another thread has the setting, threads notice at their next sample.
/// Context: hook.
pub fn draw_anew() {
    if let Some(_setting) = SETTING.try_lock() {
        let interval = INTERVAL.load(Relaxed);
        if interval != COUNT_ONLY {
            change(interval, interval);
        }
    }
}

/// Makes every thread draw anew. With SETTING held.
fn change(old: u64, interval: u64) -> bool {
    // Above every countdown drawn with the old interval, and with the new one by a thread that saw it before the threshold.
    let step = longest_distance(old).max(longest_distance(interval)) + 1;
    let Some(raised) = THRESHOLD.load(Relaxed).checked_add(step) else {
        return false;
    };
    if raised.checked_add(longest_distance(MAX_INTERVAL)).is_none() {
        return false;
    }
    INTERVAL.store(interval, Release);
    THRESHOLD.store(raised, Release);
    if ENTRY_THRESHOLD.load(Relaxed) != KEEP_OUT {
        ENTRY_THRESHOLD.store(raised, Relaxed);
    }
    true
}

/// Sets the interval to 0 and ends counting; later calls of [`set_interval`] and [`start_count`] are refused. Context:
/// outside hooks.
pub fn switch_off_for_good() -> bool {
    let _setting = SETTING.lock();
    OFF_FOR_GOOD.store(true, Relaxed);
    let old = INTERVAL.load(Relaxed);
    old == 0 || change(old, 0)
}

/// The interval of threads that only count, for [`crate::record::counting`].
const COUNT_ONLY: u64 = u64::MAX;
/// The interval to go back to after counting. Atomic, because [`interval`] reads it; written under SETTING, before INTERVAL.
static BEFORE_COUNTING: AtomicU64 = AtomicU64::new(0);

/// Starts an exact count: allocations are counted, in the whole process and instead of being sampled, until all counts have
/// been stopped; then the interval is what it was, or was set to meanwhile. `None`, and nothing changed, where
/// [`crate::record::counting::start`] says so, after [`switch_off_for_good`], and after some 2^28 changes of the interval. Context:
/// outside hooks.
///
/// # Safety
/// As for [`crate::record::counting::start`].
pub unsafe fn start_count(running: *mut u8, mark: *mut u64) -> Option<usize> {
    let _setting = SETTING.lock();
    if OFF_FOR_GOOD.load(Relaxed) {
        return None;
    }
    // SAFETY: passed on to the caller.
    let count = unsafe { counting::start(running, mark) }?;
    let old = INTERVAL.load(Relaxed);
    if old != COUNT_ONLY {
        BEFORE_COUNTING.store(old, Relaxed);
        if !change(old, COUNT_ONLY) {
            counting::stop(count);
            return None;
        }
    }
    Some(count)
}

/// Stops an exact count and returns its allocations and requested bytes; `None` when there is no such count. Context: outside hooks.
pub fn stop_count(count: usize) -> Option<(u64, u64)> {
    let _setting = SETTING.lock();
    if counting::is_only(count) && INTERVAL.load(Relaxed) == COUNT_ONLY {
        // First, so that allocations leave the count alone while `stop` waits for those that look at it. Should the changes
        // be used up, allocations go on being charged to nobody.
        change(COUNT_ONLY, BEFORE_COUNTING.load(Relaxed));
    }
    counting::stop(count)
}

/// Keeps the setting whole across a fork: the child's calls of [`set_interval`] must not wait for a thread that it lacks.
pub fn lock_for_fork() {
    SETTING.lock_for_fork();
}

/// # Safety
/// As for [`Lock::unlock_after_fork`].
pub unsafe fn unlock_after_fork() {
    // SAFETY: passed on to the caller.
    unsafe { SETTING.unlock_after_fork() }
}

/// Charges a request for `size` bytes that the fast path did not pass. `Some(weight)`: sample it. A request that failed is
/// charged like any other, as on the fast path, or the distance would not be without memory; only exact counting leaves it
/// out. Context: hook; not under the guard.
pub fn charge(thread: &mut ThreadState, size: u64, succeeded: bool) -> Option<Weight> {
    let (threshold, interval) = consistent_setting();
    if thread.base != threshold {
        thread.base = threshold;
        thread.interval_bytes = interval;
        draw(thread, look_of_all());
    }
    let distance = thread.countdown.saturating_sub(threshold) + thread.held_back;
    match thread.interval_bytes {
        1 => Some(Weight::of(size, 1)),
        COUNT_ONLY => {
            if succeeded {
                counting::add(size);
            }
            None
        }
        _ if distance >= size => {
            let look = match thread.look_left.saturating_sub(size.max(LOOK_LEAST)) {
                0 => look_of_all(),
                left => left,
            };
            set_distance(thread, distance - size, look);
            None
        }
        interval => {
            let look = look_of_all().max((interval / LOOK_PART).min(LOOK_BYTES));
            draw(thread, look);
            (interval != 0).then(|| Weight::of(size, interval))
        }
    }
}

/// How much is looked at because blocks were found that had been freed past the hooks.
fn look_of_all() -> u64 {
    match blocks::is_healing() {
        true => LOOK_ASK_BYTES,
        false => 0,
    }
}

/// Threshold and interval. `set_interval` writes the interval first: a thread that reads between the two writes gets the
/// new interval with the old threshold, and draws once more at its next allocation.
fn consistent_setting() -> (u64, u64) {
    loop {
        let threshold = THRESHOLD.load(Acquire);
        let interval = INTERVAL.load(Acquire);
        if THRESHOLD.load(Relaxed) == threshold {
            return (threshold, interval);
        }
    }
}

/// Draws the distance to the next sample point: the floor of an exponential variable whose mean is the interval.
fn draw(thread: &mut ThreadState, look: u64) {
    let distance = match thread.interval_bytes {
        0 => OFF_DISTANCE,
        // Below the threshold from the start: a block of no bytes gets here too.
        1 | COUNT_ONLY => return set_distance(thread, 0, u64::MAX),
        interval => {
            let distance = -libm::log(next_uniform(&mut thread.random)) * interval as f64;
            (distance as u64).min(longest_distance(interval))
        }
    };
    set_distance(thread, distance, look);
}

/// Sets the distance to the next sample point. The next `look` bytes are to take the slow path.
fn set_distance(thread: &mut ThreadState, distance: u64, look: u64) {
    thread.look_left = look;
    (thread.countdown, thread.held_back) = match look {
        0 => (thread.base + distance, 0),
        // Below the threshold: blocks of no bytes take it too.
        _ => (thread.base - 1, distance),
    };
}

/// Uniform in (0, 1] with 53 bits: xorshift64* (Vigna 2016), seeded per thread from the clock and its own address.
fn next_uniform(state: &mut u64) -> f64 {
    if *state == 0 {
        let seed = crate::sys::clock::monotonic_coarse_nanos() ^ (core::ptr::from_ref(state) as u64).rotate_left(32);
        *state = splitmix(seed ^ SEEDS.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed)) | 1;
    }
    let mut x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    let bits = x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
    (bits + 1) as f64 / (1u64 << 53) as f64
}

/// Keeps threads apart that start at the same tick at a reused address.
static SEEDS: AtomicU64 = AtomicU64::new(0);

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): spreads a seed over all bits.
fn splitmix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
