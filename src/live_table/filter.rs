//! "Was this pointer sampled?", asked on every free: one byte in front of the table.
//!
//! An array of bytes, at least sixteen for each live sample, indexed by the top bits of a 32-bit hash of the address (one
//! multiplication of its low half: free pays for every instruction; blocks 4 GiB apart share a slot, which is harmless):
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
//! The array belongs to the shards piecewise: the shard of an address is the top bits of the same 32-bit hash, so a slot is
//! only ever changed under the lock of the one shard that it belongs to.
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

/// Where every free looks: the address of slot 0, whose low six bits are at the same time the shift that makes an index of
/// a hash. (The array begins that many bytes into its mapping.) One word, so that the two always fit each other. Read by
/// the assembly in `hook::entry`, and by that of the whole-process door (go/interpose/entries.h).
#[unsafe(export_name = "cgoheap_free_filter")]
pub(crate) static FILTER: AtomicPtr<u8> = AtomicPtr::new(EMPTY_FILTER);

/// Before the first sample: two empty slots (a shift of 31 leaves one bit of the hash), so that a free needs no test for
/// "nothing there yet".
#[repr(align(64))]
struct Empty(#[expect(dead_code, reason = "read through FILTER")] [AtomicU8; 64]);
static EMPTY: Empty = Empty([const { AtomicU8::new(0) }; 64]);
const EMPTY_FILTER: *mut u8 = (&raw const EMPTY).cast_mut().cast::<u8>().wrapping_add(31);

/// 2^32 / golden ratio, odd (Knuth, TAOCP 6.4), as the sign-extended immediate of an instruction.
pub(crate) const FILTER_MULTIPLIER: i32 = 0x9E37_79B1_u32 as i32;

/// The hash of an address that the filter and the choice of the shard go by.
#[inline(always)]
pub const fn slot_hash(address: u64) -> u32 {
    (address as u32).wrapping_mul(FILTER_MULTIPLIER as u32)
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
        let slots = 1usize << bits;
        let shift = 32 - bits as usize;
        let start = pages::map(2 * slots + 64)?
            .as_ptr()
            .wrapping_add(shift)
            .cast::<AtomicU8>();
        // SAFETY: a fresh zeroed mapping of twice `slots` bytes and more than `shift`, never unmapped.
        unsafe {
            Some(Array {
                slots: core::slice::from_raw_parts(start, slots),
                counts: core::slice::from_raw_parts(start.add(slots), slots),
                bits,
            })
        }
    }

    fn index(&self, address: u64) -> usize {
        (slot_hash(address) >> (32 - self.bits)) as usize
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
    let index = (slot_hash(address) >> (filter.addr() & 63)) as usize;
    // SAFETY: FILTER holds the address of an array that is never unmapped, with the shift that keeps the index inside.
    let slot = unsafe { &*filter.cast::<AtomicU8>().wrapping_add(index) };
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
        let place = crate::arena::ARENA
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
