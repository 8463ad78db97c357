//! Exact counting: how much is allocated while a caller's timer runs. No stack is taken and nothing is remembered of a
//! block. Meant for Go's benchmarks, whose timer tells nobody when it starts or stops: we look at it in each
//! allocation.
//!
//! The caller of [`start`] passes two addresses: a byte that is not 0 while the timer runs, and a *mark*, a number whose topmost bit is
//! free and which its owner sets to 0 when he resets his timer. In `testing.B` these are `timerOn`, and `netAllocs`, which
//! ResetTimer sets to 0 and StopTimer adds to. We set the topmost bit of the mark. An allocation that finds it gone knows
//! that there was a reset since the last one, sets it again and begins anew:
//!
//! ```text
//!   timer      start              reset       stop        start        stop
//!   mark       M                  0           0+a         M+a          M+a+b
//!   allocation      x (counted)          -          y            z
//!                                                   |            counted: 1
//!                                                   sees no M: what was counted is void; sets M; not counted
//! ```
//!
//! The timer's start time says less: a reset, a stop and a start that no allocation comes between look like a stop and a
//! start.
//!
//! Setting the bit again races with an owner who adds to the mark at the same instant, in another thread than the
//! allocation's. Only the first allocation after a reset does so, and as a rule it is the owner's own.

use core::sync::atomic::{
    AtomicPtr, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use crate::sys::process;

/// The topmost bit of a mark.
const MARK: u64 = 1 << 63;

/// How many counts there can be at a time: benchmarks run one by one, but one may run others inside.
const COUNTS: usize = 16;

/// One that counts. The addresses are written before its bit in IN_USE is set, and stay until it is cleared and the
/// allocations that were looking at it have left.
struct Count {
    /// Null: the timer runs always.
    running: AtomicPtr<u8>,
    /// Null: there are no resets.
    mark: AtomicPtr<u64>,
    /// Allocations and bytes since `start`. Atomic, because all threads add.
    counted: [AtomicU64; 2],
    /// What they were at the last reset.
    void: [AtomicU64; 2],
}

static ALL: [Count; COUNTS] = [const {
    Count {
        running: AtomicPtr::new(core::ptr::null_mut()),
        mark: AtomicPtr::new(core::ptr::null_mut()),
        counted: [const { AtomicU64::new(0) }; 2],
        void: [const { AtomicU64::new(0) }; 2],
    }
}; COUNTS];

/// One bit for each that counts. Written by `start` and `stop`.
static IN_USE: AtomicU32 = AtomicU32::new(0);
/// Allocations that look at the counts just now: `stop` waits for them, for then the timer's memory is its owner's again.
static VISITORS: AtomicU32 = AtomicU32::new(0);

/// Starts a count, from 0; `None` when there are too many, or another count has the mark already. Serialised by the sampler.
///
/// # Safety
/// Both addresses are null or valid, aligned for their type, until [`stop`] returns. Nobody but the caller changes the mark.
pub(crate) unsafe fn start(running: *mut u8, mark: *mut u64) -> Option<usize> {
    let index = IN_USE.load(Relaxed).trailing_ones() as usize;
    let count = ALL.get(index)?;
    if !mark.is_null() {
        // SAFETY: valid, says the caller.
        let mark = unsafe { AtomicU64::from_ptr(mark) };
        if mark.fetch_or(MARK, AcqRel) & MARK != 0 {
            return None;
        }
    }
    for number in count.counted.iter().chain(&count.void) {
        number.store(0, Relaxed);
    }
    count.running.store(running, Relaxed);
    count.mark.store(mark, Relaxed);
    IN_USE.fetch_or(1 << index, SeqCst);
    Some(index)
}

/// Whether this count is the only one. Serialised by the sampler.
pub(crate) fn is_only(index: usize) -> bool {
    index < COUNTS && IN_USE.load(Relaxed) == 1 << index
}

/// Ends a count and gives the mark back as its owner knows it. Allocations and bytes since the start or the last reset;
/// `None` when there is no such count. Waits for hooks in other threads, which take nanoseconds. Serialised by the
/// sampler; nobody but the caller changes the mark.
pub(crate) fn stop(index: usize) -> Option<(u64, u64)> {
    let count = ALL.get(index)?; // and so the shifts below don't overflow
    if IN_USE.fetch_and(!(1 << index), SeqCst) & 1 << index == 0 {
        return None;
    }
    while VISITORS.load(SeqCst) != 0 {
        process::give_way();
    }
    let mark = count.mark.load(Relaxed);
    if !mark.is_null() {
        // SAFETY: valid until we return, said the caller of `start`.
        let mark = unsafe { AtomicU64::from_ptr(mark) };
        if mark.fetch_and(!MARK, AcqRel) & MARK == 0 {
            return Some((0, 0)); // reset after the last allocation
        }
    }
    let since_reset = |i: usize| Some(count.counted.get(i)?.load(Relaxed) - count.void.get(i)?.load(Relaxed));
    Some((since_reset(0)?, since_reset(1)?))
}

/// Nobody else is in the child of a fork.
pub(crate) fn reset_in_child() {
    VISITORS.store(0, Relaxed);
}

/// Adds an allocation of `size` bytes to all whose timer runs. Context: hook.
pub(crate) fn add(size: u64) {
    // Either we see the count's bit gone, or `stop` sees us: both sides write first and read then, in one order for all.
    VISITORS.fetch_add(1, SeqCst);
    let mut left = IN_USE.load(SeqCst);
    while let Some(count) = ALL.get(left.trailing_zeros() as usize) {
        left &= left - 1;
        count.add(size);
    }
    VISITORS.fetch_sub(1, Release);
}

impl Count {
    fn add(&self, size: u64) {
        let [counted, counted_bytes] = &self.counted;
        let [void, void_bytes] = &self.void;
        let mark = self.mark.load(Relaxed);
        if !mark.is_null() {
            // SAFETY: valid while its owner's count is in use, and `stop` waits for us.
            let mark = unsafe { AtomicU64::from_ptr(mark) };
            let seen = mark.load(Acquire);
            if seen & MARK == 0 {
                // Read before the mark is set again, by us or by another: nobody adds after the reset until it is set, so
                // this is exactly what came before. The later of two resets has seen more.
                let before = (counted.load(Acquire), counted_bytes.load(Acquire));
                if mark.compare_exchange(seen, seen | MARK, AcqRel, Acquire).is_ok() {
                    void.fetch_max(before.0, Relaxed);
                    void_bytes.fetch_max(before.1, Relaxed);
                }
            }
        }
        let running = self.running.load(Relaxed);
        // SAFETY: as for the mark.
        if running.is_null() || unsafe { AtomicU8::from_ptr(running) }.load(Relaxed) != 0 {
            counted.fetch_add(1, Relaxed);
            counted_bytes.fetch_add(size, Relaxed);
        }
    }
}
