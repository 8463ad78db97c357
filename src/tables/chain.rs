//! Chains of records that are only ever added, for hash tables that hooks look into: finding a record takes no lock, adding one is
//! a compare-and-swap at the head.
//!
//! ```text
//!   head -> newest -> ... -> oldest -> null       a record is written, its link too, before the head leads to it
//! ```
//!
//! Who comes second with the same record looks at what was added meanwhile, and finds it: the same record is never there twice.
//! What it had made itself is then wasted. `tests/loom` tries all interleavings of this file.

#[cfg(not(loom))]
use core::sync::atomic::AtomicPtr;
#[cfg(loom)]
use loom::sync::atomic::AtomicPtr;

use core::ptr::null_mut;
use core::sync::atomic::Ordering::{AcqRel, Acquire};

/// A record that a chain can hold.
pub trait Link: Sized {
    /// Where the link to the next older record is kept. It belongs to the chain once the record is added.
    fn link(&mut self) -> &mut *mut Self;
    /// What was put there.
    fn next(&self) -> *mut Self;
}

/// The record of a chain that `is` the one that is looked for; else the one that `new` makes, once, which is added. Says whether it
/// was. `None` when `new` has none. Context: hook.
///
/// # Safety
/// All that `head` leads to was added by this function.
pub unsafe fn find_or_add<T: Link + 'static>(
    head: &AtomicPtr<T>,
    is: impl Fn(&T) -> bool,
    new: impl FnOnce() -> Option<&'static mut T>,
) -> Option<(&'static T, bool)> {
    let mut first = head.load(Acquire);
    // SAFETY: a head, as the caller says.
    if let Some(known) = unsafe { find(first, null_mut(), &is) } {
        return Some((known, false));
    }
    let ours: *mut T = new()?;
    loop {
        // SAFETY: nobody else has seen it yet.
        unsafe { *(*ours).link() = first };
        match head.compare_exchange(first, ours, AcqRel, Acquire) {
            // SAFETY: `new` gave it to us for ever, and from now on it is only read.
            Ok(_) => return Some((unsafe { &*ours }, true)),
            Err(now) => {
                // SAFETY: a head, as above, and one that was there before.
                if let Some(known) = unsafe { find(now, first, &is) } {
                    return Some((known, false));
                }
                first = now;
            }
        }
    }
}

/// The first record that `is`, from `first` to right before `end`.
///
/// # Safety
/// `first` is what a head led to, and `end` is null or what it led to before.
pub unsafe fn find<T: Link + 'static>(first: *mut T, end: *mut T, is: impl Fn(&T) -> bool) -> Option<&'static T> {
    let mut candidate = first;
    while candidate != end {
        // SAFETY: chains hold published records, which live for ever; `end` was part of this chain, so we get there.
        let record = unsafe { candidate.as_ref() }?;
        if is(record) {
            return Some(record);
        }
        candidate = record.next();
    }
    None
}
