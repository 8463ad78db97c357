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
//! Each slot belongs to one shard: the shard of an address is the low bits of the same hash, so a slot is only ever changed
//! under the lock of its shard.
//!
//! **Growth.** A new array, four times as large, is filled shard by shard, one with each sample that comes; meanwhile
//! a shard that has been carried over writes to both. When all are over, the new array is published. The old one stays
//! mapped, since a free may just be reading it: all of them together are half as large as the last.
//!
//! **Why relaxed loads are enough.** Who frees a block has got its address from who allocated it, in some way that orders
//! the two (else the program itself has a race). So the writes to the array that was published when the block was
//! recorded, and that publication, happen before the free, which sees them or later ones.

use core::sync::atomic::{
    AtomicPtr, AtomicU8, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::sys::pages;

/// Where every free looks: the address of slot 0. In the word before it lies the mask that makes an index of a hash. (One
/// pointer, so that the two always fit each other.) Read by the assembly in `hook::entry`, and by that of the whole-process
/// door (go/interpose/entries_amd64.h).
#[unsafe(export_name = "cgoheap_free_filter")]
pub(crate) static FILTER: AtomicPtr<u8> = AtomicPtr::new(EMPTY_FILTER);

/// Before the first sample: one empty slot, so that a free needs no test for "nothing there yet".
#[repr(C)]
struct Empty {
    mask: u64,
    slot: AtomicU8,
}
static EMPTY: Empty = Empty {
    mask: 0,
    slot: AtomicU8::new(0),
};
const EMPTY_FILTER: *mut u8 = (&raw const EMPTY.slot).cast_mut().cast();
const _: () = assert!(core::mem::offset_of!(Empty, slot) - core::mem::offset_of!(Empty, mask) == MASK_BEFORE);

/// How far before slot 0 the mask lies.
pub(crate) const MASK_BEFORE: usize = 8;

/// 2^32 / golden ratio, odd (Knuth, TAOCP 6.4), as the sign-extended immediate of an instruction.
pub(crate) const FILTER_MULTIPLIER: i32 = 0x9E37_79B1_u32 as i32;

/// The hash of an address whose low bits the filter and the choice of the shard go by.
#[inline(always)]
pub const fn slot_hash(address: u64) -> u32 {
    (address.wrapping_mul(FILTER_MULTIPLIER as u64) >> 32) as u32
}

/// Slots per live sample, at least.
const SLOTS_PER_SAMPLE: usize = 16;
const FIRST_BITS: u32 = 10;
/// 16 MiB: a million live samples. With more, frees look into the table more often.
const MAX_BITS: u32 = 24;
const SEVERAL: u8 = 254;

/// An array and its counts. A handle: arrays are never given back.
#[derive(Clone, Copy)]
pub struct Array {
    slots: &'static [AtomicU8],
    counts: &'static [AtomicU8],
    bits: u32,
}

/// The fingerprint of an address: of all its bits, also those that the slot doesn't depend on.
fn fingerprint(address: u64) -> u8 {
    (super::hash(address) >> 57) as u8 + 1
}

impl Array {
    fn new(bits: u32) -> Option<Array> {
        const BEFORE: usize = 64; // room for the mask, and slot 0 at the start of a cache line
        let slots = 1usize << bits;
        let start = pages::map(BEFORE + 2 * slots)?.as_ptr().wrapping_add(BEFORE);
        // SAFETY: a fresh zeroed mapping with room for the mask and twice `slots` bytes, never unmapped.
        unsafe {
            start.sub(MASK_BEFORE).cast::<u64>().write(slots as u64 - 1);
            let start = start.cast::<AtomicU8>();
            Some(Array {
                slots: core::slice::from_raw_parts(start, slots),
                counts: core::slice::from_raw_parts(start.add(slots), slots),
                bits,
            })
        }
    }

    fn index(&self, address: u64) -> usize {
        slot_hash(address) as usize & (self.slots.len() - 1)
    }

    fn insert(&self, address: u64) {
        let (Some(slot), Some(count)) = (
            self.slots.get(self.index(address)),
            self.counts.get(self.index(address)),
        ) else {
            return;
        };
        let before = count.load(Relaxed);
        count.store(before.saturating_add(1), Relaxed);
        slot.store(if before == 0 { fingerprint(address) } else { SEVERAL }, Relaxed);
    }

    fn remove(&self, address: u64) {
        let (Some(slot), Some(count)) = (
            self.slots.get(self.index(address)),
            self.counts.get(self.index(address)),
        ) else {
            return;
        };
        match count.load(Relaxed) {
            // More than we can count: stays "several" until the array is replaced.
            u8::MAX => {}
            before => {
                count.store(before.saturating_sub(1), Relaxed);
                if before <= 1 {
                    slot.store(0, Relaxed);
                }
            }
        }
    }

    /// What FILTER holds for this array.
    fn word(&self) -> *mut u8 {
        self.slots.as_ptr().cast_mut().cast::<u8>()
    }

    fn publish(&self) {
        FILTER.store(self.word(), Release);
    }

    /// Publishes the first array, by whoever comes first; later this does nothing.
    fn publish_first(&self) {
        let _ = FILTER.compare_exchange(EMPTY_FILTER, self.word(), AcqRel, Relaxed);
    }
}

/// Whether the block at `address` may be a sampled one: false is certain. Context: hook.
#[inline]
pub fn may_contain(address: u64) -> bool {
    let filter = FILTER.load(Relaxed);
    // SAFETY: FILTER holds the address of an array that is never unmapped, behind the mask that keeps the index inside.
    let slot = unsafe {
        let mask = filter.sub(MASK_BEFORE).cast::<u64>().read();
        let index = u64::from(slot_hash(address)) & mask;
        &*filter.cast::<AtomicU8>().add(index as usize)
    };
    let byte = slot.load(Relaxed);
    byte == SEVERAL || byte == fingerprint(address)
}

/// Both arrays that a shard writes to: the published one, and the one that is being filled once the shard has been
/// carried over. Only under the shard's lock.
#[derive(Clone, Copy)]
pub struct Arrays {
    current: Option<Array>,
    growing: Option<Array>,
}

impl Arrays {
    /// None yet.
    pub const fn none() -> Arrays {
        Arrays {
            current: None,
            growing: None,
        }
    }

    /// Enters a sampled block. False when there is no array: nothing can be recorded.
    #[must_use]
    pub fn insert(&mut self, growth: &Growth, address: u64) -> bool {
        self.settle(growth);
        for array in [&self.current, &self.growing].into_iter().flatten() {
            array.insert(address);
        }
        self.current.is_some()
    }

    /// Takes one off.
    pub fn remove(&mut self, address: u64) {
        for array in [&self.current, &self.growing].into_iter().flatten() {
            array.remove(address);
        }
    }

    /// Brings this shard, which has blocks at these addresses, up to the array that all shards are moving to.
    /// Whether there was anything to do: each shard says so once a growth.
    pub fn carry_over(&mut self, growth: &Growth, addresses: impl Iterator<Item = u64>) -> bool {
        self.settle(growth);
        // SAFETY: points to an arena piece that lives for ever, or is null.
        let Some(target) = (unsafe { growth.target.load(Acquire).as_ref() }) else {
            return false;
        };
        if self.growing.is_some() || self.current.is_none_or(|array| array.bits >= target.bits) {
            return false;
        }
        for address in addresses {
            target.insert(address);
        }
        self.growing = Some(*target);
        true
    }

    /// Follows what has been published: a shard that was carried over no longer writes to the old array.
    fn settle(&mut self, growth: &Growth) {
        let Some(published) = growth.published() else { return };
        match self.current {
            Some(current) if current.bits >= published.bits => {}
            _ => {
                self.current = Some(published);
                self.growing = self.growing.filter(|array| array.bits > published.bits);
            }
        }
    }
}

/// Where the shards are moving to. Atomic, because every thread that samples may find the filter too small; one growth
/// is under way at a time.
pub struct Growth {
    /// The array that frees look at; null before the first sample.
    published: AtomicPtr<Array>,
    /// The array that is being filled, or the published one.
    target: AtomicPtr<Array>,
    /// 1 from the decision to grow until the new array is published.
    busy: AtomicUsize,
    /// Counts the shards offered for carrying over, round and round: one that is busy has its turn again.
    next_shard: AtomicUsize,
    /// Shards that have been carried over.
    done: AtomicUsize,
    shards: usize,
}

impl Growth {
    /// Nothing yet; for `shards` shards.
    pub const fn new(shards: usize) -> Growth {
        Growth {
            published: AtomicPtr::new(core::ptr::null_mut()),
            target: AtomicPtr::new(core::ptr::null_mut()),
            busy: AtomicUsize::new(0),
            next_shard: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            shards,
        }
    }

    /// The array that frees look at; makes the first. `None` without memory.
    fn published(&self) -> Option<Array> {
        // SAFETY: points to an arena piece that lives for ever, or is null.
        if let Some(array) = unsafe { self.published.load(Acquire).as_ref() } {
            return Some(*array);
        }
        let place = Growth::new_array(FIRST_BITS)?;
        match self
            .published
            .compare_exchange(core::ptr::null_mut(), place, AcqRel, Acquire)
        {
            Ok(_) => {
                // SAFETY: our own new array.
                let array = unsafe { *place };
                self.target.store(place, Release);
                array.publish_first();
                Some(array)
            }
            // SAFETY: as above. (Our array is wasted, once.) The winner may not have published yet, so do it for it.
            Err(theirs) => unsafe { theirs.as_ref() }.map(|array| {
                array.publish_first();
                *array
            }),
        }
    }

    fn new_array(bits: u32) -> Option<*mut Array> {
        let place = crate::tables::arena::ARENA
            .allocate(size_of::<Array>())?
            .cast::<Array>()
            .as_ptr();
        let array = Array::new(bits)?;
        // SAFETY: fresh arena memory of the right size and alignment.
        unsafe { place.write(array) };
        Some(place)
    }

    /// Starts growth when `live` samples are too many for the published array. Context: hook.
    pub fn start_if_needed(&self, live: usize) {
        let Some(array) = self.published() else { return };
        if live.saturating_mul(SLOTS_PER_SAMPLE) <= array.slots.len() || array.bits >= MAX_BITS {
            return;
        }
        if self.busy.compare_exchange(0, 1, AcqRel, Relaxed).is_err() {
            return;
        }
        // Another growth may have ended between the look above and here.
        let still_needed = self.published().is_some_and(|now| now.bits == array.bits);
        match still_needed
            .then(|| Growth::new_array((array.bits + 2).min(MAX_BITS)))
            .flatten()
        {
            Some(place) => {
                self.done.store(0, Relaxed);
                self.target.store(place, Release);
            }
            None => self.busy.store(0, Release),
        }
    }

    /// A shard that the caller must carry over now, if growth is under way. Context: hook.
    pub fn next_shard(&self) -> Option<usize> {
        if self.busy.load(Relaxed) == 0 || self.target.load(Acquire) == self.published.load(Acquire) {
            return None;
        }
        Some(self.next_shard.fetch_add(1, Relaxed) % self.shards)
    }

    /// The shard that [`Growth::next_shard`] gave has been carried over; the last one publishes.
    pub fn shard_done(&self) {
        if self.done.fetch_add(1, AcqRel) + 1 != self.shards {
            return;
        }
        let target = self.target.load(Acquire);
        // SAFETY: as in `published`.
        if let Some(array) = unsafe { target.as_ref() } {
            array.publish();
            self.published.store(target, Release);
        }
        self.busy.store(0, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_process_door_looks_into_the_filter_as_we_do() {
        let entries = include_str!("../../../go/interpose/entries_amd64.h");
        let multiply = format!("imul $-{:#x}, %rdi, %rax", -FILTER_MULTIPLIER);
        let mask = format!("and -{MASK_BEFORE}(%r10), %rax");
        for instruction in [multiply, mask] {
            assert_eq!(entries.matches(&instruction).count(), 1, "{instruction}");
        }
    }
}
