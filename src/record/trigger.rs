//! When a dump is due: live memory has passed a limit or grown by a factor. A hook compares and wakes, nothing else.

use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use once_cell::race::OnceRef;

use crate::sys::futex;
use crate::tables::arena::ARENA;
use crate::tables::blocks;

/// Why a dump is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Reason {
    /// Live memory has passed `limit=`.
    Limit = 0,
    /// It has grown by the factor since the last dump.
    Grow = 1,
    /// The signal came.
    Signal = 2,
}

impl Reason {
    pub(crate) const ALL: [Reason; 3] = [Reason::Limit, Reason::Grow, Reason::Signal];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::Limit => "limit",
            Reason::Grow => "grow",
            Reason::Signal => "signal",
        }
    }

    /// The reason with this number.
    pub fn from_number(number: i32) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| *reason as i32 == number)
    }
}

/// What the environment says of dumps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DumpSettings<'a> {
    /// `dump=`: what file names begin with, or a folder.
    pub prefix: Option<&'a [u8]>,
    /// `limit=`: bytes.
    pub limit: Option<u64>,
    /// `grow=`: a factor.
    pub grow: Option<f64>,
    /// `signal=`: its number.
    pub signal: Option<i32>,
    /// `keep=`: files.
    pub keep: Option<u32>,
}

/// The longest prefix.
pub const MAX_PREFIX: usize = 1024;
/// Without `grow=`, the factor after the limit was passed.
const DEFAULT_GROWTH: f64 = 1.25;
/// Without `limit=`, growth counts from at least this many live bytes: what a program starts with is no news.
const LEAST_BASE: u64 = 32 << 20;
const DEFAULT_KEEP: u32 = 16;

/// What the environment says, with what it leaves open filled in.
struct Dumps {
    /// A copy: the environment may be written over.
    prefix: &'static [u8],
    /// 0: none.
    signal: i32,
    keep: u32,
    /// `None`: neither `limit=` nor `grow=`.
    growth: Option<f64>,
}

/// Empty: no dumps.
static DUMPS: OnceRef<Dumps> = OnceRef::new();
/// Whether the next threshold is the limit.
static LIMIT_NEXT: AtomicBool = AtomicBool::new(false);
/// Live bytes at which the next dump is due; read by every sample.
static NEXT_DUMP_BYTES: AtomicU64 = AtomicU64::new(u64::MAX);
/// Live bytes when the last threshold was passed: growth counts from there.
static PASSED_AT: AtomicU64 = AtomicU64::new(0);
/// 1: a dump is due. What [`wait`] sleeps on.
static DUE: AtomicU32 = AtomicU32::new(0);

/// Takes over what the environment says, if it asks for dumps at all. Once. Context: hook.
pub fn configure(settings: &DumpSettings) {
    let Some(prefix) = settings.prefix.filter(|prefix| prefix.len() <= MAX_PREFIX) else {
        return;
    };
    let growth = (settings.limit.is_some() || settings.grow.is_some()).then(|| settings.grow.unwrap_or(DEFAULT_GROWTH));
    let dumps = ARENA.copy_bytes(prefix).and_then(|prefix| {
        ARENA.place(Dumps {
            prefix,
            signal: settings.signal.unwrap_or(0),
            keep: settings.keep.unwrap_or(DEFAULT_KEEP),
            growth,
        })
    });
    let Some(dumps) = dumps else { return }; // without memory for a path there will be none for a profile
    let _ = DUMPS.set(dumps); // called once
    if let Some(factor) = growth {
        LIMIT_NEXT.store(settings.limit.is_some(), Relaxed);
        NEXT_DUMP_BYTES.store(settings.limit.unwrap_or((LEAST_BASE as f64 * factor) as u64), Relaxed);
    }
}

/// To be called after a sample was inserted, with the live bytes: wakes the thread that writes dumps, if one is due. Context: hook.
#[inline]
pub fn check(live_bytes: u64) {
    if live_bytes >= NEXT_DUMP_BYTES.load(Relaxed) {
        wake(live_bytes);
    }
}

#[cold]
fn wake(live_bytes: u64) {
    // The thread that takes the threshold away wakes the writer, which sets the next one.
    if NEXT_DUMP_BYTES.swap(u64::MAX, AcqRel) == u64::MAX {
        return;
    }
    PASSED_AT.store(live_bytes, Relaxed);
    DUE.store(1, Release);
    futex::wake(&DUE);
}

/// Blocks the calling thread until a dump is due, and says why. One thread at a time. Context: outside hooks.
pub fn wait() -> Reason {
    while DUE.swap(0, AcqRel) == 0 {
        futex::wait(&DUE, 0, None);
    }
    match LIMIT_NEXT.swap(false, Relaxed) {
        true => Reason::Limit,
        false => Reason::Grow,
    }
}

/// The prefix, when dumps are asked for. Context: outside hooks.
pub fn prefix() -> Option<&'static OsStr> {
    DUMPS.get().map(|dumps| OsStr::from_bytes(dumps.prefix))
}

/// Sets the next threshold, as after a dump. Context: outside hooks.
pub fn rearm(reason: Reason) {
    if reason != Reason::Signal {
        let next = PASSED_AT.load(Relaxed) as f64 * growth().unwrap_or(DEFAULT_GROWTH);
        NEXT_DUMP_BYTES.store((next as u64).max(1), Release);
        // It may have been passed while the profile was being made.
        check(blocks::live_bytes());
    }
}

/// In a forked child, whose writer is the parent's: the next threshold counts.
pub fn reset_in_child() {
    if NEXT_DUMP_BYTES.load(Relaxed) == u64::MAX {
        DUE.store(0, Relaxed);
        LIMIT_NEXT.store(false, Relaxed);
        rearm(Reason::Grow);
    }
}

/// The number of the signal that asks for a dump; 0: none. Context: outside hooks.
pub fn signal() -> i32 {
    DUMPS.get().map_or(0, |dumps| dumps.signal)
}

/// How many files stay. Context: outside hooks.
pub fn keep() -> usize {
    DUMPS.get().map_or(DEFAULT_KEEP, |dumps| dumps.keep) as usize
}

/// Whether there are thresholds. Context: outside hooks.
pub fn has_thresholds() -> bool {
    growth().is_some()
}

fn growth() -> Option<f64> {
    DUMPS.get()?.growth
}
