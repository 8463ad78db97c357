//! The sampled blocks that are not freed yet, by address.
//!
//! 256 shards by the low bits of the filter's hash, each an open-addressing table with linear probing and backward-shift
//! deletion (no tombstones, which would lengthen probes under churn), under a lock of its own that is held for a probe or,
//! rarely, for the doubling of that one shard. Memory comes straight from mmap. In front of it lies the [`filter`].
//!
//! An address that is handed out while it is still in the table was freed by code without hooks: the old entry is stale. One that is
//! sampled replaces it ([`insert`]), one that isn't takes it out ([`heal`]), provided that somebody looks: see the sampler.

pub mod filter;

use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Relaxed},
};

use filter::{Array, FILTER, Moving, Part};

use crate::sys::clock::{monotonic_coarse_nanos, monotonic_nanos};
use crate::sys::lock::Lock;
use crate::sys::{pages, process};
use crate::tables::arena::ARENA;
use crate::tables::block::SampledAlloc;
use crate::tables::counters::{COUNTERS, Counters};
use crate::tables::peak;
use crate::tables::stacks::{self, StackId};
use crate::tables::weight::Totals;
use crate::tables::weight::Weight;

const EMPTY: SampledAlloc = SampledAlloc {
    address: 0,
    requested_size: 0,
    weight: Weight { objects: 0.0 },
    time_nanos: 0,
    stack: StackId(0),
    mark: 0,
};

const SHARDS: usize = 256;
const FIRST_CAPACITY_BITS: u32 = 3;
/// Tables smaller than a page come from the arena: with a page each, the first samples of a program would cost it 256
/// system calls and page faults. They are not given back, which wastes at most as much again; the largest of them is used again
/// when the shard has shrunk to it.
const ARENA_CAPACITY_BITS: u32 = 6;

struct Shard {
    /// `capacity` entries from the arena or pages::map, or dangling when capacity is 0.
    entries: NonNull<SampledAlloc>,
    capacity_bits: u32,
    /// The shard's table of ARENA_CAPACITY_BITS, if it has had one.
    from_arena: Option<NonNull<u8>>,
    length: usize,
    live_objects_fixed: u64,
    live_bytes: u64,
    /// Variance of `live_bytes`.
    live_variance: u128,
    filter: Part,
}

// SAFETY: the entries belong to the shard alone.
unsafe impl Send for Shard {}

/// The shards' state is protected by each one's lock; see the lock order in [`crate::sys::lock`].
static TABLE: [Lock<Shard>; SHARDS] = [const { Lock::new(Shard::new()) }; SHARDS];
/// Protects the filter's move to another size. Only ever tried by hooks.
static MOVING: Lock<Moving> = Lock::new(Moving::new(Array::first()));
/// Entries of all shards. Atomic, because it is read without locks.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// Estimated bytes of all shards. Atomic, for the same reason.
static LIVE_BYTES: AtomicU64 = AtomicU64::new(0);
/// Samples taken since the start.
static SAMPLES: AtomicU64 = AtomicU64::new(0);

/// The hash that chooses the place in a shard, and the fingerprint. It must know nothing of [`filter::slot_hash`], whose low
/// bits all addresses of a shard share: with the same multiplier (the golden ratio, as in [`crate::tables::hash`]) they would share
/// the top bits here too, and probing would walk through the whole shard. The finalizer of MurmurHash3.
pub(crate) const fn hash(address: u64) -> u64 {
    let mut h = (address ^ (address >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    h = (h ^ (h >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    h ^ (h >> 33)
}

/// The shard that an address belongs to, with all of its slot of the filter.
pub fn shard_index(address: u64) -> usize {
    filter::slot_hash(address) as usize % SHARDS
}

fn shard_of(address: u64) -> &'static Lock<Shard> {
    &TABLE[shard_index(address)]
}

impl Shard {
    const fn new() -> Shard {
        Shard {
            entries: NonNull::dangling(),
            capacity_bits: 0,
            from_arena: None,
            length: 0,
            live_objects_fixed: 0,
            live_bytes: 0,
            live_variance: 0,
            filter: Part::new(Array::first()),
        }
    }

    fn slots(&mut self) -> &mut [SampledAlloc] {
        let capacity = if self.capacity_bits == 0 {
            0
        } else {
            1 << self.capacity_bits
        };
        // SAFETY: `entries` is a mapping of `capacity` entries (zeroed memory is a valid empty entry), ours alone.
        unsafe { core::slice::from_raw_parts_mut(self.entries.as_ptr(), capacity) }
    }

    /// Where probing for `address` begins.
    fn home(&self, address: u64) -> usize {
        (hash(address) >> (64 - self.capacity_bits)) as usize
    }

    /// Index of `address`, or of the empty slot where it belongs.
    fn probe(&mut self, address: u64) -> Result<usize, usize> {
        let mut at = self.home(address);
        let slots = self.slots();
        let mask = slots.len() - 1;
        loop {
            match slots.get(at & mask).map_or(0, |entry| entry.address) {
                0 => return Err(at & mask),
                found if found == address => return Ok(at & mask),
                _ => at += 1,
            }
        }
    }

    fn make_room(&mut self) -> Option<()> {
        if self.capacity_bits != 0 && (self.length + 1) * 4 <= 3 << self.capacity_bits {
            return Some(());
        }
        let bits = if self.capacity_bits == 0 {
            FIRST_CAPACITY_BITS
        } else {
            self.capacity_bits + 1
        };
        self.move_to(bits)
    }

    /// Gives memory back when an eighth of the table is in use or less: it is then a quarter of the half that it moves to.
    fn shrink_if_sparse(&mut self) {
        if self.capacity_bits > ARENA_CAPACITY_BITS && self.length * 8 <= 1 << self.capacity_bits {
            // Without memory for the smaller one, the larger one stays.
            let _ = self.move_to(self.capacity_bits - 1);
        }
    }

    /// Moves the entries to a table of this size, which has room for them. `None`, and nothing has changed, without memory.
    fn move_to(&mut self, bits: u32) -> Option<()> {
        let size = size_of::<SampledAlloc>();
        let memory = match self.from_arena {
            Some(memory) if bits == ARENA_CAPACITY_BITS => memory,
            _ if bits <= ARENA_CAPACITY_BITS => ARENA.allocate(size << bits)?,
            _ => pages::map(size << bits)?,
        };
        let mut other = Shard {
            entries: memory.cast(),
            capacity_bits: bits,
            ..Shard::new()
        };
        if bits == ARENA_CAPACITY_BITS {
            self.from_arena = Some(memory);
            other.slots().fill(EMPTY);
        }
        for entry in self.slots().iter().filter(|entry| entry.address != 0) {
            if let Err(at) = other.probe(entry.address)
                && let Some(slot) = other.slots().get_mut(at)
            {
                *slot = *entry;
            }
        }
        if self.capacity_bits > ARENA_CAPACITY_BITS {
            // SAFETY: our own old mapping of that size.
            unsafe { pages::unmap(self.entries.cast(), size << self.capacity_bits) };
        }
        (self.entries, self.capacity_bits) = (other.entries, bits);
        Some(())
    }

    fn add_totals(&mut self, entry: &SampledAlloc) {
        self.length += 1;
        self.live_objects_fixed = self.live_objects_fixed.wrapping_add(entry.weight.objects_fixed());
        self.live_bytes = self.live_bytes.wrapping_add(entry.bytes());
        self.live_variance = self
            .live_variance
            .wrapping_add(entry.weight.variance(entry.requested_size));
        LIVE.fetch_add(1, Relaxed);
        LIVE_BYTES.fetch_add(entry.bytes(), Relaxed);
    }

    fn remove_totals(&mut self, entry: &SampledAlloc) {
        self.length -= 1;
        self.live_objects_fixed = self.live_objects_fixed.wrapping_sub(entry.weight.objects_fixed());
        self.live_bytes = self.live_bytes.wrapping_sub(entry.bytes());
        self.live_variance = self
            .live_variance
            .wrapping_sub(entry.weight.variance(entry.requested_size));
        LIVE.fetch_sub(1, Relaxed);
        LIVE_BYTES.fetch_sub(entry.bytes(), Relaxed);
        peak::freed(entry);
    }

    /// Takes out what was freed while the lock could not be had. First thing after locking.
    fn catch_up(&mut self, index: usize) {
        for slot in PENDING.get(index).map_or(&[][..], |pending| &pending.0) {
            if slot.load(Relaxed) != 0 {
                self.take_out(slot.swap(0, AcqRel));
            }
        }
    }

    fn take_out(&mut self, address: u64) -> Option<SampledAlloc> {
        if self.capacity_bits == 0 || address == 0 {
            return None;
        }
        let at = self.probe(address).ok()?;
        let entry = self.slots().get(at).copied()?;
        self.close_gap(at);
        self.filter.remove(&FILTER, address);
        self.remove_totals(&entry);
        self.shrink_if_sparse();
        Some(entry)
    }

    /// Closes the gap at `at`: entries behind it that were pushed on by it move back (Knuth, TAOCP 6.4, algorithm R).
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.slots().len() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let Some(entry) = self.slots().get(at).copied() else {
                return;
            };
            if entry.address == 0 {
                break;
            }
            let home = self.home(entry.address) & mask;
            // The entry may move to the gap if its home does not lie between the two, cyclically.
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                if let Some(slot) = self.slots().get_mut(gap) {
                    *slot = entry;
                }
                gap = at;
            }
        }
        if let Some(slot) = self.slots().get_mut(gap) {
            *slot = EMPTY;
        }
    }
}

/// Inserts a sampled block. False when it could not be: no memory, or the table was busy for too
/// long; counted. Context: hook.
pub fn insert(entry: SampledAlloc) -> bool {
    let entered = enter(entry);
    if entered {
        SAMPLES.fetch_add(1, Relaxed);
    }
    entered
}

/// Enters a block that [`remove`] took out: as [`insert`], but no new sample. Context: hook.
pub fn put_back(entry: SampledAlloc) -> bool {
    peak::not_freed(&entry);
    enter(entry)
}

fn enter(entry: SampledAlloc) -> bool {
    debug_assert!(entry.address != 0);
    let Some(mut shard) = shard_of(entry.address).lock_bounded() else {
        Counters::add(&COUNTERS.samples_lock_busy);
        return false;
    };
    shard.catch_up(shard_index(entry.address));
    if shard.make_room().is_none() {
        Counters::add(&COUNTERS.samples_no_memory);
        return false;
    }
    match shard.probe(entry.address) {
        Ok(at) => {
            // Still here, though handed out again: its free went past the hooks.
            let stale = shard.slots().get(at).copied().unwrap_or(EMPTY);
            freed_unseen(&stale);
            shard.remove_totals(&stale);
            if let Some(slot) = shard.slots().get_mut(at) {
                *slot = entry;
            }
        }
        Err(at) => {
            shard.filter.insert(&FILTER, entry.address);
            if let Some(slot) = shard.slots().get_mut(at) {
                *slot = entry;
            }
        }
    }
    shard.add_totals(&entry);
    drop(shard);
    move_filter_if_needed();
    true
}

/// A block that isn't sampled has just been allocated here: takes out the stale entry of one that was freed past the hooks, if there
/// is one. Context: hook.
pub fn heal(address: u64) {
    // One whose free was seen and could wait no longer is none of these: it is taken out on the way.
    if let Some(stale) = remove(address, true) {
        freed_unseen(&stale);
    }
}

/// When a block was last found to have been freed past the hooks, by the coarse monotonic clock; 0: never. Atomic, because every
/// thread that samples reads it.
static LAST_UNSEEN_NANOS: AtomicU64 = AtomicU64::new(0);
/// Set when such a block is found after a time without.
static HEALING_BEGUN: AtomicBool = AtomicBool::new(false);
/// So long all allocations are looked at.
const HEALING_NANOS: u64 = 60_000_000_000;

/// Notes that this block was freed past the hooks. Context: hook.
fn freed_unseen(stale: &SampledAlloc) {
    Counters::add(&COUNTERS.frees_unseen);
    if let Some(record) = stacks::get(stale.stack) {
        record.add_unseen(stale.bytes());
    }
    let was_healing = is_healing();
    LAST_UNSEEN_NANOS.store(monotonic_coarse_nanos().max(1), Relaxed);
    if !was_healing {
        HEALING_BEGUN.store(true, Relaxed);
    }
}

/// Whether any block was found to have been freed past the hooks. Context: any.
pub fn has_unseen_frees() -> bool {
    LAST_UNSEEN_NANOS.load(Relaxed) != 0
}

/// Whether allocations should be looked at, sampled or not, since blocks were found of late that had been freed past the hooks.
/// Context: any.
pub fn is_healing() -> bool {
    let last = LAST_UNSEEN_NANOS.load(Relaxed);
    last != 0 && monotonic_coarse_nanos().saturating_sub(last) < HEALING_NANOS
}

/// Whether that has begun since this was asked last. Context: any.
pub fn healing_has_begun() -> bool {
    HEALING_BEGUN.load(Relaxed) && HEALING_BEGUN.swap(false, Relaxed)
}

/// A step of the filter's move to another size, when there is one to take and nobody else is taking it. No shard's lock is held.
/// Context: hook.
fn move_filter_if_needed() {
    let live = LIVE.load(Relaxed);
    if !FILTER.fits(live)
        && let Some(mut moving) = MOVING.try_lock()
    {
        moving.step(&FILTER, live, monotonic_coarse_nanos(), SHARDS, carry_over);
    }
}

/// Moves one shard's part of the filter, if the shard can be had now; whoever comes next tries again.
fn carry_over(index: usize, to: Array) -> bool {
    let Some(mut shard) = TABLE.get(index).and_then(Lock::try_lock) else {
        return false;
    };
    let mut part = shard.filter;
    part.carry_over(to, shard.slots().iter().map(|entry| entry.address).filter(|a| *a != 0));
    shard.filter = part;
    true
}

/// Takes a block out of the table, if it is in it. When its shard can't be had (at once, without `wait`) it is taken out
/// later, before its address can be entered again, and the answer is `None`. Context: hook.
pub fn remove(address: u64, wait: bool) -> Option<SampledAlloc> {
    if !filter::may_contain(address) {
        return None;
    }
    let shard = shard_of(address);
    let locked = if wait { shard.lock_bounded() } else { shard.try_lock() };
    let Some(mut locked) = locked else {
        if !PENDING[shard_index(address)].push(address) {
            Counters::add(&COUNTERS.frees_lock_busy);
        }
        return None;
    };
    locked.catch_up(shard_index(address));
    let taken = locked.take_out(address);
    drop(locked);
    move_filter_if_needed();
    taken
}

/// Blocks of one shard whose free could not wait for its lock. Whoever next holds the lock takes them out first: an
/// address is always of the same shard, so before it is entered again. Atomic, because that is the point.
struct Pending([AtomicU64; 6]);

static PENDING: [Pending; SHARDS] = [const { Pending([const { AtomicU64::new(0) }; 6]) }; SHARDS];

impl Pending {
    fn push(&self, address: u64) -> bool {
        self.0
            .iter()
            .any(|slot| slot.compare_exchange(0, address, AcqRel, Relaxed).is_ok())
    }
}

/// Lets the filter move to the size that the live samples need, which else goes on with the samples that come and go; gives back what
/// earlier moves have left. Context: outside hooks.
pub fn tidy() {
    const ENOUGH: usize = 4 * SHARDS;
    for _ in 0..ENOUGH {
        let Some(mut moving) = MOVING.try_lock() else { return };
        let (live, now) = (LIVE.load(Relaxed), monotonic_coarse_nanos());
        moving.clear_old(now);
        if FILTER.fits(live) {
            return;
        }
        moving.step(&FILTER, live, now, SHARDS, carry_over);
    }
}

/// Sampled blocks that are live. Context: any.
pub fn len() -> usize {
    LIVE.load(Relaxed)
}

/// Estimated bytes that are live. Context: any.
pub fn live_bytes() -> u64 {
    LIVE_BYTES.load(Relaxed)
}

/// Samples taken since the start. Context: any.
pub fn samples() -> u64 {
    SAMPLES.load(Relaxed)
}

/// What is live, by estimate. Context: outside hooks.
pub fn totals() -> Totals {
    TABLE.iter().enumerate().fold(Totals::default(), |sum, (index, shard)| {
        let mut shard = shard.lock();
        shard.catch_up(index);
        Totals {
            objects_fixed: sum.objects_fixed.wrapping_add(shard.live_objects_fixed),
            bytes: sum.bytes.wrapping_add(shard.live_bytes),
            variance: sum.variance + shard.live_variance as f64,
        }
    })
}

/// Hands every live sample to `visit`, a shard at a time. No lock is held meanwhile, unless there is no memory for a copy of the
/// shard. Context: outside hooks.
///
/// Threads that allocate may wait for a shard's lock, for as long as the system doesn't let its holder run: tens of milliseconds
/// where threads outnumber processors (bench/pauses.c). So it is held for no more than a copy, some tenths of a millisecond with
/// millions of samples, and not begun near the end of the time that the system lets this thread run: we give way first.
pub fn for_each(mut visit: impl FnMut(&SampledAlloc)) {
    /// A third of the time that Linux lets a thread run, or less.
    const GIVE_WAY_AFTER_NANOS: u64 = 1_000_000;
    let mut copy = ShardCopy::default();
    let mut since = 0;
    for (index, shard) in TABLE.iter().enumerate() {
        if monotonic_nanos().saturating_sub(since) > GIVE_WAY_AFTER_NANOS {
            process::give_way();
            since = monotonic_nanos();
        }
        let mut locked = shard.lock();
        locked.catch_up(index);
        while copy.capacity < locked.length {
            let length = locked.length;
            drop(locked);
            let has_room = copy.make_room(length);
            locked = shard.lock();
            if !has_room {
                break;
            }
        }
        let is_copied = copy.capacity >= locked.length;
        let entries = locked.slots().iter().filter(|entry| entry.address != 0);
        if !is_copied {
            entries.for_each(&mut visit);
            continue;
        }
        let copied = copy.fill(entries);
        drop(locked);
        copied.iter().for_each(&mut visit);
    }
}

/// Room for a copy of a shard's entries, straight from the system.
struct ShardCopy {
    entries: NonNull<SampledAlloc>,
    capacity: usize,
}

impl Default for ShardCopy {
    fn default() -> ShardCopy {
        ShardCopy {
            entries: NonNull::dangling(),
            capacity: 0,
        }
    }
}

impl ShardCopy {
    /// Makes room for a quarter more than `length` entries; false, and there is none at all, without memory.
    fn make_room(&mut self, length: usize) -> bool {
        self.give_back();
        let capacity = length + length / 4;
        let bytes = capacity * size_of::<SampledAlloc>();
        let Some(memory) = pages::map(bytes) else {
            return false;
        };
        // SAFETY: mapped just now. Written to, so that the pages are there before a lock is held.
        unsafe { memory.write_bytes(0, bytes) };
        (self.entries, self.capacity) = (memory.cast(), capacity);
        true
    }

    /// Fills it with as many as there is room for.
    fn fill<'a>(&mut self, entries: impl Iterator<Item = &'a SampledAlloc>) -> &[SampledAlloc] {
        // SAFETY: room for `capacity` entries, ours alone; zeroed memory is a valid empty entry.
        let room = unsafe { core::slice::from_raw_parts_mut(self.entries.as_ptr(), self.capacity) };
        let mut length = 0;
        for (to, entry) in room.iter_mut().zip(entries) {
            *to = *entry;
            length += 1;
        }
        room.get(..length).unwrap_or(&[])
    }

    fn give_back(&mut self) {
        if self.capacity != 0 {
            // SAFETY: our own mapping of that size, and no reference to it is left.
            unsafe { pages::unmap(self.entries.cast(), self.capacity * size_of::<SampledAlloc>()) };
            self.capacity = 0;
        }
    }
}

impl Drop for ShardCopy {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Takes all locks, in order, so that a fork finds the table whole. Context: outside hooks.
pub fn lock_for_fork() {
    MOVING.lock_for_fork();
    TABLE.iter().for_each(Lock::lock_for_fork);
}

/// # Safety
/// As for [`Lock::unlock_after_fork`].
pub unsafe fn unlock_after_fork() {
    for shard in TABLE.iter().rev() {
        // SAFETY: passed on to the caller.
        unsafe { shard.unlock_after_fork() };
    }
    // SAFETY: as above.
    unsafe { MOVING.unlock_after_fork() };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn entry(address: u64, requested_size: u64) -> SampledAlloc {
        SampledAlloc {
            address,
            requested_size,
            weight: Weight { objects: 1.5 },
            time_nanos: 1,
            stack: StackId(3),
            mark: 0,
        }
    }

    /// The table is one for the process: tests that use it take turns.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

    fn drain(addresses: impl Iterator<Item = u64>) {
        for address in addresses {
            remove(address, true);
        }
    }

    #[test]
    fn blocks_side_by_side_lie_close_to_where_probing_begins() {
        for stride in [16, 32, 48, 80, 144, 4096, 1 << 20] {
            let mut shard = Shard::new();
            let addresses = (0..400_000).map(|n| 0x7f12_3400_0010 + n * stride);
            let (mut blocks, mut steps) = (0, 0);
            for address in addresses.filter(|a| core::ptr::eq(shard_of(*a), &TABLE[SHARDS / 3])) {
                shard.make_room().unwrap();
                let at = shard.probe(address).unwrap_err();
                let mask = shard.slots().len() - 1;
                steps += at.wrapping_sub(shard.home(address)) & mask;
                shard.slots()[at] = entry(address, 1);
                shard.length += 1;
                blocks += 1;
            }
            // Knuth, TAOCP 6.4: an insertion into a table three quarters full takes 7.5 steps with a perfect hash.
            assert!(blocks > 100, "stride {stride}: {blocks} blocks in this shard");
            assert!(steps < blocks * 8, "stride {stride}: {blocks} blocks, {steps} steps");
        }
    }

    #[test]
    fn a_hundred_thousand_blocks_come_and_go_through_every_growth() {
        let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
        let before = totals();
        let addresses = || (1..=100_000u64).map(|n| n * 48 + 0x7000_0000_0000);
        for (n, address) in addresses().enumerate() {
            assert!(insert(entry(address, n as u64)));
        }
        assert_eq!(len(), 100_000);
        for address in addresses() {
            assert!(filter::may_contain(address), "{address:x} has fallen out of the filter");
        }
        let absent = (1..=100_000u64)
            .filter(|n| filter::may_contain(n * 48 + 0x7000_0000_0010))
            .count();
        assert!(absent < 2_000, "{absent} of 100,000 other addresses pass the filter");
        for (n, address) in addresses().enumerate() {
            assert_eq!(remove(address, true), Some(entry(address, n as u64)));
            assert_eq!(remove(address, true), None);
        }
        assert_eq!((len(), totals()), (0, before));
        let left = addresses().filter(|address| filter::may_contain(*address)).count();
        assert_eq!(left, 0, "an empty table leaves an empty filter");
    }

    #[test]
    fn all_blocks_are_visited_once_without_their_lock() {
        let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
        let address = |n: u64| 0x5000_0000_0000 + n * 48;
        let count = 2000;
        (0..count).for_each(|n| assert!(insert(entry(address(n), n))));
        let (mut seen, mut sum) = (0, 0);
        for_each(|entry| {
            if (address(0)..address(count)).contains(&entry.address) {
                seen += 1;
                sum += entry.requested_size;
                assert!(shard_of(entry.address).try_lock().is_some());
            }
        });
        assert_eq!((seen, sum), (count, count * (count - 1) / 2));
        (0..count).for_each(|n| assert!(remove(address(n), true).is_some()));
    }

    #[test]
    fn an_address_that_is_handed_out_again_replaces_its_stale_entry() {
        let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
        let (before, unseen) = (totals(), COUNTERS.read().frees_unseen);
        assert!(insert(entry(0x1230, 5)));
        assert!(insert(entry(0x1230, 9)));
        assert_eq!(COUNTERS.read().frees_unseen, unseen + 1);
        assert_eq!(remove(0x1230, true), Some(entry(0x1230, 9)));
        assert_eq!(remove(0x1230, true), None);
        assert_eq!(totals(), before);
    }

    #[test]
    fn threads_that_free_each_others_blocks_leave_nothing() {
        let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
        let before = totals();
        for round in 0..3u64 {
            std::thread::scope(|scope| {
                for thread in 0..4u64 {
                    scope.spawn(move || {
                        for n in 0..20_000u64 {
                            assert!(insert(entry((round << 44) | (thread << 40) | (n * 16 + 16), n)));
                        }
                    });
                }
            });
            std::thread::scope(|scope| {
                for thread in 0..4u64 {
                    scope.spawn(move || {
                        for n in 0..20_000u64 {
                            let owner = (thread + n) % 4;
                            assert!(remove((round << 44) | (owner << 40) | (n * 16 + 16), true).is_some());
                        }
                    });
                }
            });
        }
        assert_eq!((len(), totals()), (0, before));
    }

    /// Another thread forks while one is in the middle of a step of the filter's move, or has stopped between two. The child
    /// has all blocks, and its filter grows on.
    #[test]
    fn the_child_of_a_fork_amid_the_filters_move_has_all_blocks_and_moves_on() {
        use std::sync::mpsc::channel;
        let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
        let address = |n: u64| 0x6000_0000_0000 + n * 48;
        // Other tests have left the filter large: back to its first array, and no array of theirs is waited for.
        while !FILTER.fits(0) {
            MOVING.lock().clear_old(u64::MAX);
            move_filter_if_needed();
        }
        MOVING.lock().clear_old(u64::MAX);
        // As many as make the next one begin a move.
        let mut count = 0;
        while FILTER.fits(LIVE.load(Relaxed)) {
            assert!(insert(entry(address(count), 1)));
            count += 1;
        }
        let status = std::thread::scope(|scope| {
            let (begun, wait_for_begin) = channel();
            scope.spawn(move || {
                let mut moving = MOVING.lock();
                let mut carried = false;
                while !carried {
                    let now = monotonic_coarse_nanos();
                    moving.step(&FILTER, LIVE.load(Relaxed), now, SHARDS, |index, to| {
                        begun.send(()).unwrap();
                        // The system runs other threads now.
                        std::thread::sleep(std::time::Duration::from_millis(300));
                        carried = carry_over(index, to);
                        carried
                    });
                }
            });
            wait_for_begin.recv().unwrap();
            // SAFETY: the child calls our own code and _exit.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::alarm(20);
                    let last = count + 2000;
                    let entered = (count..last).all(|n| insert(entry(address(n), 1)));
                    let there = (0..last).all(|n| filter::may_contain(address(n)));
                    let grown = FILTER.fits(LIVE.load(Relaxed));
                    let gone = (0..last).all(|n| remove(address(n), true).is_some());
                    libc::_exit(match (entered, there, grown, gone) {
                        (true, true, true, true) => 0,
                        (false, ..) => 1,
                        (_, false, ..) => 2,
                        (_, _, false, _) => 3,
                        _ => 4,
                    });
                }
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                status
            }
        });
        assert_eq!(status, 0, "wait status: exit code 3 is a filter that doesn't grow");
        (count..count + 2000).for_each(|n| assert!(insert(entry(address(n), 1))));
        assert!(FILTER.fits(LIVE.load(Relaxed)), "nor does the parent's");
        drain((0..count + 2000).map(address));
    }

    #[test]
    fn tables_shrink_when_what_they_held_is_gone() {
        let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
        let address = |n: u64| 0x4000_0000_0000 + n * 48;
        let capacity = || TABLE.iter().map(|shard| shard.lock().slots().len()).sum::<usize>();
        for _ in 0..3 {
            (0..300_000).for_each(|n| assert!(insert(entry(address(n), 1))));
            assert!(capacity() >= 300_000);
            (0..300_000).for_each(|n| assert!(remove(address(n), true).is_some()));
            assert!(
                capacity() <= SHARDS << ARENA_CAPACITY_BITS,
                "{} entries have room",
                capacity()
            );
        }
        while !FILTER.fits(0) {
            MOVING.lock().clear_old(u64::MAX); // as after ten seconds
            tidy();
        }
    }

    proptest! {
        #[test]
        fn the_table_answers_as_a_hash_map_does(operations in prop::collection::vec((any::<bool>(), 1u64..400, 0u64..1000), 1..2000)) {
            let _turn = TURN.lock().unwrap_or_else(|failed| failed.into_inner());
            let mut twin = HashMap::new();
            // Blocks close to each other: a few in each shard, probes that meet.
            let address = |n: u64| 0x5000_0000_0000 | (n * 16);
            for (add, n, size) in operations {
                if add {
                    twin.insert(address(n), size);
                    prop_assert!(insert(entry(address(n), size)));
                } else {
                    prop_assert_eq!(remove(address(n), true).map(|found| found.requested_size), twin.remove(&address(n)));
                }
                prop_assert_eq!(len(), twin.len());
            }
            let mut found = HashMap::new();
            for_each(|entry| {
                found.insert(entry.address, entry.requested_size);
            });
            prop_assert_eq!(&found, &twin);
            drain((1..400).map(address));
        }
    }
}
