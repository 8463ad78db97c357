//! "Was this pointer sampled?", asked on every free: one byte in front of the table.
//!
//! An array of bytes, at least sixteen for each live sample, indexed by the low bits of a hash of the address: the middle of
//! its product with a constant (free pays for every instruction). Blocks that lie side by side in memory have their slots
//! close to each other, so that where the program's data is warm, the filter is too.
//!
//! ```text
//!   0     no sampled block has this slot: the usual answer, one load and one comparison
//!   f     the fingerprint (1..=128) of the one sampled block that has it
//!   254   several have it, or had it when the array was built
//! ```
//!
//! Beside it lies an array of counts, touched only when a sample comes or goes, which makes deletion exact: a slot is 0
//! again when its last block is gone. (A Bloom filter fills up under churn; a bitmap can't forget at all.)
//!
//! Each slot belongs to one shard of the table: the shard of an address is the low bits of the same hash, so a slot is only
//! ever changed under the lock of its shard.
//!
//! # Moving to another size
//!
//! When the array is too small for the live samples, or far too large, they move to another one, a shard with each sample that
//! comes or goes. All that a move consists of, the new array and how many shards are over, is in [`Moving`], under one
//! lock that is only ever tried: who doesn't get it leaves the step to the holder.
//!
//! ```text
//!   frees look at            A A A A A A A A B        [`Filter`], one pointer
//!   shard 0 writes to        A AB . . . . .  B        B joins when the shard's blocks have been entered there
//!   shard 1 writes to        A A AB . . . .  B        A goes when B is what frees look at
//!   ...
//! ```
//!
//! A shard keeps one handle, the array that it went to last ([`Part`]); it writes to that one and, where it is another, to
//! the one that frees look at. So nothing has to be told to the shards when the new array is published, and a thread
//! that doesn't see the publication yet writes to both. A fork takes the lock of the move before those of the shards: the
//! child finds a whole number of steps, and goes on with the next.
//!
//! Rejected: one thread that takes the locks of all shards and moves all at once. It is ten lines shorter, but with a million
//! samples it takes 42 ms of CPU time, and 16 ms before that for the pages of the new array; whoever samples, or frees a
//! sampled block, waits meanwhile. The longest entering of a sample on the way to a million is 0.6 ms this way, and that is the
//! doubling of a shard (`insert_max_us` of `cargo bench --bench locks`; 2 cores of an Intel Xeon, both busy).
//!
//! # Why frees need no lock
//!
//! Who frees a block has got its address from who allocated it, in some way that orders the two (else the program itself
//! has a race). So what was written when the block was recorded happens before the free, as does what the recording thread had
//! read: the free finds the pointer that was published then, or a later one. The block was entered in that array, under its
//! shard's lock; a later array was published only after the shard had moved there, which entered every block it had, and from then
//! on the shard has entered new blocks there too. The publication is a release and the look an acquire (a plain load on x86-64; elsewhere the
//! address dependency between pointer and slot orders as much), so the free sees the slot as it was entered, or later.
//! And a slot that some live block has is never 0: taking off another block of the same slot leaves the count above 0.
//! `tests/loom` tries all interleavings of a small model of this file.
//!
//! Arrays are never unmapped, since a free may just be reading one: each size is made once and used again. Ten seconds
//! after a move the pages of the old array go back to the system. A thread that was stopped for all of that time, between the
//! two loads of its free, would miss that its block is sampled; the entry is then corrected as that of a block that was
//! freed past the hooks.

#[cfg(not(loom))]
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
#[cfg(loom)]
use loom::sync::atomic::AtomicPtr;

#[cfg(not(loom))]
mod array;
mod moving;

#[cfg(loom)]
use crate::array;

pub use array::Array;
#[cfg(not(loom))]
pub(crate) use array::MASK_BEFORE;
pub use moving::Moving;

/// Where every free looks: the address of slot 0. In the word before it lies the mask that makes an index of a hash. (One
/// pointer, so that the two always fit each other.) Read by the assembly in `hook::entry`, and by that of the whole
/// process (go/interpose/entries_PROCESSOR.h).
#[cfg(not(loom))]
#[unsafe(export_name = "cgoheap_free_filter")]
pub(crate) static FILTER: Filter = Filter::new(Array::first());

/// 2^32 / golden ratio, odd (Knuth, TAOCP 6.4), as the sign-extended immediate of an instruction.
pub(crate) const FILTER_MULTIPLIER: i32 = 0x9E37_79B1_u32 as i32;

/// The hash of an address whose low bits the filter and the choice of the shard go by.
#[inline(always)]
pub const fn slot_hash(address: u64) -> u32 {
    (address.wrapping_mul(FILTER_MULTIPLIER as u64) >> 32) as u32
}

/// Slots per live sample, at least.
const SLOTS_PER_SAMPLE: usize = 16;
/// 1 KiB: a larger one would take too much of the first-level cache of programs that have a few samples.
#[cfg(not(loom))]
const FIRST_BITS: u32 = 10;
/// 16 MiB: a million live samples. With more, frees look into the table more often.
#[cfg(not(loom))]
const MAX_BITS: u32 = 24;
#[cfg(loom)]
const FIRST_BITS: u32 = 1;
#[cfg(loom)]
const MAX_BITS: u32 = 3;
/// Each size is four times the one before.
const STEP_BITS: u32 = 2;
const SEVERAL: u8 = 254;

/// The fingerprint of an address: of all its bits, also those that the slot doesn't depend on.
fn fingerprint(address: u64) -> u8 {
    (super::hash(address) >> 57) as u8 + 1
}

impl Array {
    /// Enters a block. Under the lock of its shard.
    fn insert(self, address: u64) {
        let index = slot_hash(address) as usize & self.open();
        let before = self.count(index).load(Relaxed);
        self.count(index).store(before.saturating_add(1), Relaxed);
        let byte = if before == 0 { fingerprint(address) } else { SEVERAL };
        self.slot(index).store(byte, Relaxed);
    }

    /// Takes one off. Under the lock of its shard.
    fn remove(self, address: u64) {
        let index = slot_hash(address) as usize & self.open();
        match self.count(index).load(Relaxed) {
            // More than we can count: stays "several" until the blocks move to another array.
            u8::MAX => {}
            before => {
                self.count(index).store(before.saturating_sub(1), Relaxed);
                if before <= 1 {
                    self.slot(index).store(0, Relaxed);
                }
            }
        }
    }
}

/// The array that frees look at. Atomic, because frees look without a lock.
#[repr(transparent)]
pub struct Filter(AtomicPtr<array::Start>);

impl Filter {
    /// A filter that begins with this array.
    #[cfg(not(loom))]
    pub(crate) const fn new(array: Array) -> Filter {
        Filter(AtomicPtr::new(array.start()))
    }

    /// A filter that begins with this array.
    #[cfg(loom)]
    pub fn new(array: Array) -> Filter {
        Filter(AtomicPtr::new(array.start()))
    }

    fn published(&self) -> Array {
        // SAFETY: only arrays are stored there.
        unsafe { Array::at(self.0.load(Acquire)) }
    }

    fn publish(&self, array: Array) {
        self.0.store(array.start(), Release);
    }

    /// Whether the block at `address` may be a sampled one: false is certain. Context: hook.
    #[inline]
    pub fn may_contain(&self, address: u64) -> bool {
        let array = self.published();
        let byte = array.slot(slot_hash(address) as usize & array.mask()).load(Relaxed);
        byte == SEVERAL || byte == fingerprint(address)
    }
}

/// Whether the block at `address` may be a sampled one: false is certain. Context: hook.
#[cfg(not(loom))]
#[inline]
pub fn may_contain(address: u64) -> bool {
    FILTER.may_contain(address)
}

/// What a shard keeps: the array that it moved to last. All its blocks are in that one, and in the one that frees look at.
/// Only under the shard's lock.
#[derive(Clone, Copy)]
pub struct Part {
    newest: Array,
}

impl Part {
    /// The part of a shard without blocks, in the filter's first array.
    pub const fn new(first: Array) -> Part {
        Part { newest: first }
    }

    /// Enters a sampled block.
    pub fn insert(&self, filter: &Filter, address: u64) {
        self.arrays(filter).for_each(|array| array.insert(address));
    }

    /// Takes one off.
    pub fn remove(&self, filter: &Filter, address: u64) {
        self.arrays(filter).for_each(|array| array.remove(address));
    }

    fn arrays(&self, filter: &Filter) -> impl Iterator<Item = Array> {
        let published = filter.published();
        let other = (published != self.newest).then_some(published);
        core::iter::once(self.newest).chain(other)
    }

    /// Moves this shard, which has blocks at these addresses, to another array. From now on it writes to that one too.
    pub fn carry_over(&mut self, to: Array, addresses: impl Iterator<Item = u64>) {
        addresses.for_each(|address| to.insert(address));
        self.newest = to;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    const SHARDS: usize = 256;

    /// A filter of its own, and what the table is to it: shards with their blocks.
    struct Model {
        filter: Filter,
        moving: Moving,
        shards: Vec<(Part, BTreeSet<u64>)>,
        live: usize,
        now_nanos: u64,
        /// Whether shards are busy: then a step gets nowhere.
        busy: bool,
    }

    impl Model {
        fn new() -> Model {
            let first = Array::new(FIRST_BITS).unwrap();
            Model {
                filter: Filter::new(first),
                moving: Moving::new(first),
                shards: vec![(Part::new(first), BTreeSet::new()); SHARDS],
                live: 0,
                now_nanos: 1,
                busy: false,
            }
        }

        fn insert(&mut self, address: u64) {
            let (part, blocks) = &mut self.shards[slot_hash(address) as usize % SHARDS];
            if blocks.insert(address) {
                part.insert(&self.filter, address);
                self.live += 1;
            }
            self.step();
        }

        fn remove(&mut self, address: u64) {
            let (part, blocks) = &mut self.shards[slot_hash(address) as usize % SHARDS];
            if blocks.remove(&address) {
                part.remove(&self.filter, address);
                self.live -= 1;
            }
            self.step();
        }

        fn step(&mut self) {
            let Model {
                filter,
                moving,
                shards,
                live,
                ..
            } = self;
            if !filter.fits(*live) {
                moving.step(filter, *live, self.now_nanos, SHARDS, |index, to| {
                    let (part, blocks) = &mut shards[index];
                    if !self.busy {
                        part.carry_over(to, blocks.iter().copied());
                    }
                    !self.busy
                });
            }
        }

        fn slots(&self) -> usize {
            self.filter.published().slots()
        }
    }

    fn block(n: u64) -> u64 {
        0x7f00_0000_0010 + n * 48
    }

    /// Pages of the array that take memory, without the one that has the mask.
    fn present_pages(array: Array) -> usize {
        let first = array.start().addr().next_multiple_of(crate::sys::pages::PAGE);
        let end = array.start().addr() + 2 * array.slots();
        let mut present = vec![0u8; (end - first).div_ceil(crate::sys::page_size::SMALLEST)];
        // SAFETY: whole pages of a mapping that is never unmapped, and a byte for each.
        let result = unsafe { libc::mincore(first as *mut _, end - first, present.as_mut_ptr()) };
        assert_eq!(result, 0);
        present.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    fn the_filter_grows_with_the_samples_and_shrinks_when_they_are_gone() {
        let mut model = Model::new();
        for n in 0..20_000 {
            model.insert(block(n));
        }
        assert!(model.slots() >= 20_000 * SLOTS_PER_SAMPLE, "{} slots", model.slots());
        assert!((0..20_000).all(|n| model.filter.may_contain(block(n))));
        let large = model.filter.published();
        assert!(present_pages(large) > 0);
        // The smaller arrays were left just now: they are used again when no free can still be reading them.
        (0..20_000).for_each(|n| model.remove(block(n)));
        assert!(model.slots() > 1 << FIRST_BITS);
        model.now_nanos += 10_000_000_000;
        (0..20_000).for_each(|n| model.insert(block(n)));
        for n in 0..20_000 {
            model.remove(block(n));
            assert!((n + 1..20_000).step_by(997).all(|n| model.filter.may_contain(block(n))));
        }
        model.now_nanos += 10_000_000_000;
        (0..1000).for_each(|_| model.step());
        assert_eq!(model.slots(), 1 << FIRST_BITS);
        assert_eq!((0..20_000).filter(|n| model.filter.may_contain(block(*n))).count(), 0);
        model.moving.clear_old(model.now_nanos + 10_000_000_000);
        assert_eq!(present_pages(large), 0, "its pages are given back");
        // And once more, in the same arrays.
        for n in 0..20_000 {
            model.insert(block(n));
        }
        assert!((0..20_000).all(|n| model.filter.may_contain(block(n))));
        let others = (0..20_000).filter(|n| model.filter.may_contain(block(*n) + 16)).count();
        assert!(others < 400, "{others} of 20,000 other addresses pass");
    }

    #[test]
    fn a_move_that_others_can_not_help_with_goes_on_later() {
        let mut model = Model::new();
        model.busy = true;
        for n in 0..5_000 {
            model.insert(block(n));
        }
        assert_eq!(model.slots(), 1 << FIRST_BITS);
        model.busy = false;
        for n in 5_000..6_000 {
            model.insert(block(n));
        }
        assert!(model.slots() >= 6_000 * SLOTS_PER_SAMPLE, "{} slots", model.slots());
        assert!((0..6_000).all(|n| model.filter.may_contain(block(n))));
    }

    proptest! {
        /// Bursts of blocks that come and go, with shards that are busy at times and time that passes.
        #[test]
        fn no_live_block_is_missed_through_any_moves(bursts in prop::collection::vec((any::<bool>(), 0u64..3000, 1u64..3000, any::<bool>(), 0u64..12), 1..12)) {
            let mut model = Model::new();
            let mut twin = HashMap::new();
            for (add, first, count, busy, seconds) in bursts {
                model.now_nanos += seconds * 1_000_000_000;
                model.busy = busy;
                for n in first..first + count {
                    if add { model.insert(block(n)); twin.insert(n, ()); } else { model.remove(block(n)); twin.remove(&n); }
                }
                prop_assert!(twin.keys().all(|n| model.filter.may_contain(block(*n))));
                prop_assert_eq!(model.live, twin.len());
            }
            model.busy = false;
            for n in 0..6000 {
                model.remove(block(n));
            }
            prop_assert!((0..6000).all(|n| !model.filter.may_contain(block(n))));
        }
    }

    #[test]
    fn entries_of_the_whole_process_look_into_the_filter_as_ours_do() {
        let amd64 = include_str!("../../../../go/interpose/entries_amd64.h");
        let arm64 = include_str!("../../../../go/interpose/entries_arm64.h");
        let multiplier = FILTER_MULTIPLIER as u32;
        for (entries, instruction) in [
            (amd64, format!("imul $-{:#x}, %rdi, %rax", -FILTER_MULTIPLIER)),
            (amd64, format!("and -{MASK_BEFORE}(%r10), %rax")),
            (arm64, format!("movn x10, #{:#x}", !multiplier & 0xffff)),
            (arm64, format!("movk x10, #{:#x}, lsl #16", multiplier >> 16)),
            (arm64, format!("ldur x11, [x9, #-{MASK_BEFORE}]")),
        ] {
            assert_eq!(entries.matches(&instruction).count(), 1, "{instruction}");
        }
    }
}
