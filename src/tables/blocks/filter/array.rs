//! The memory of a filter's array: the mask, the slots, the counts.
//!
//! ```text
//!                  mask | slot 0, slot 1, ...        | count 0, count 1, ...
//!   start of a cache line ^
//! ```
//!
//! The first array is part of the program: nothing has to be made before the first sample, and there is no moment in which there is
//! none. Its mask is 0 until then, so that the frees of a program without samples all look at slot 0, one cache line.

use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicU8, AtomicU64,
    Ordering::{Relaxed, Release},
};

use super::FIRST_BITS;
use crate::sys::{page_size, pages};

/// How far before slot 0 the mask lies.
pub(crate) const MASK_BEFORE: usize = 8;
/// Room for the mask, and slot 0 at the start of a cache line.
const BEFORE: usize = 64;
/// 32 pages: some ten microseconds of page faults.
const PIECE: usize = 32 * page_size::SMALLEST;
const FIRST_SLOTS: usize = 1 << FIRST_BITS;

/// Slot 0.
pub type Start = AtomicU8;

/// An array. A handle: the memory is never unmapped.
#[derive(Clone, Copy, PartialEq)]
pub struct Array(*const Start);

// SAFETY: a handle to atomics that live for ever.
unsafe impl Send for Array {}

#[repr(C, align(64))]
struct First {
    before: [u8; BEFORE - MASK_BEFORE],
    mask: AtomicU64,
    slots: [AtomicU8; FIRST_SLOTS],
    counts: [AtomicU8; FIRST_SLOTS],
}

static FIRST: First = First {
    before: [0; BEFORE - MASK_BEFORE],
    mask: AtomicU64::new(0),
    slots: [const { AtomicU8::new(0) }; FIRST_SLOTS],
    counts: [const { AtomicU8::new(0) }; FIRST_SLOTS],
};
const _: () = assert!(core::mem::offset_of!(First, slots) == BEFORE);
const _: () = assert!(core::mem::offset_of!(First, counts) == BEFORE + FIRST_SLOTS);

impl Array {
    /// The first array.
    pub const fn first() -> Array {
        // The start of the whole, so that the pointer may reach all of it.
        Array((&raw const FIRST).cast::<Start>().wrapping_add(BEFORE))
    }

    /// A new array of 2^`bits` slots, all 0, or `None` without memory. Context: hook.
    pub(super) fn new(bits: u32) -> Option<Array> {
        let slots = 1usize << bits;
        let start = pages::map(BEFORE + 2 * slots)?.as_ptr().wrapping_add(BEFORE);
        let array = Array(start.cast());
        array.mask_word().store(slots as u64 - 1, Relaxed);
        Some(array)
    }

    /// The array whose slot 0 is there.
    ///
    /// # Safety
    /// `start` is [`Array::start`] of an array.
    #[inline(always)]
    pub(super) unsafe fn at(start: *const Start) -> Array {
        Array(start)
    }

    /// Where slot 0 is.
    pub(super) const fn start(self) -> *mut Start {
        self.0.cast_mut()
    }

    fn mask_word(&self) -> &'static AtomicU64 {
        // SAFETY: every array has its mask there, and lives for ever.
        unsafe { &*self.0.byte_sub(MASK_BEFORE).cast::<AtomicU64>() }
    }

    /// What makes an index of a hash.
    #[inline(always)]
    pub(super) fn mask(&self) -> usize {
        self.mask_word().load(Relaxed) as usize
    }

    /// The same before the first block is entered.
    pub(super) fn open(&self) -> usize {
        if self.mask() == 0 {
            // By whoever comes first; all store the same.
            self.mask_word().store(FIRST_SLOTS as u64 - 1, Release);
        }
        self.mask()
    }

    /// Slots.
    pub(super) fn slots(&self) -> usize {
        (self.mask() + 1).max(FIRST_SLOTS)
    }

    /// The slot with this index, which is at most the mask.
    #[inline(always)]
    pub(super) fn slot(&self, index: usize) -> &'static AtomicU8 {
        debug_assert!(index < self.slots());
        // SAFETY: the mask is that of the array, which has one slot more and lives for ever.
        unsafe { &*self.0.add(index) }
    }

    /// How many blocks have the slot with this index.
    pub(super) fn count(&self, index: usize) -> &'static AtomicU8 {
        debug_assert!(index < self.slots());
        // SAFETY: as in `slot`; there are as many counts, behind the slots.
        unsafe { &*self.0.add(self.slots() + index) }
    }

    /// Pieces that are made present one after the other.
    pub(super) fn pieces(self) -> usize {
        (2 * self.slots()).div_ceil(PIECE)
    }

    /// Makes the pages of a piece present: all 0 as yet, and nobody writes to this array. True: it is done.
    pub(super) fn make_present(self, piece: usize) -> bool {
        let end = (2 * self.slots()).min((piece + 1) * PIECE);
        for index in (piece * PIECE..end).step_by(page_size::SMALLEST) {
            // SAFETY: within the slots and the counts behind them.
            unsafe { &*self.0.add(index) }.store(0, Relaxed);
        }
        true
    }

    /// Bytes of slots and counts, and how many of them stay mapped: what lies in the program itself, or in the page of the mask.
    fn used_and_kept(self) -> (usize, usize) {
        let used = 2 * self.slots();
        let kept = if self == Array::first() {
            used
        } else {
            used.min(pages::PAGE - BEFORE)
        };
        (used, kept)
    }

    /// Sets all to 0, and gives pages back where there are any. Nobody writes to this array meanwhile. Context: hook.
    pub(super) fn clear(self) {
        let (used, kept) = self.used_and_kept();
        for index in 0..kept {
            // SAFETY: within the slots and the counts behind them.
            unsafe { &*self.0.add(index) }.store(0, Relaxed);
        }
        if let Some(rest) = NonNull::new(self.start().wrapping_add(kept).cast())
            && kept < used
        {
            // SAFETY: whole pages of the mapping that `new` made; a free that still reads finds 0.
            unsafe { pages::discard(rest, used - kept) };
        }
    }

    /// Before an array that has been cleared is written to again; `None` without memory.
    pub(super) fn use_again(self) -> Option<()> {
        let (used, kept) = self.used_and_kept();
        pages::use_again(used - kept)
    }
}
