//! Each distinct stack once, with a number that it keeps, and totals of what was allocated there.
//!
//! A hash table of records that are only ever added, in [`chain`]s: neither looking one up nor adding one takes a lock. Two
//! threads that add the same stack at the same time waste one record. Memory comes from the arena
//! and is not given back, so a program's stacks cost what its distinct stacks cost. When the table is nearly full, new stacks
//! are shortened to their innermost frames and the Go caller, of which there are far fewer; beyond [`MAX_STACKS`] samples are
//! recorded on stack 0, which has no frames.

use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use crate::sys::pages;
use crate::tables::arena::ARENA;
use crate::tables::chain::{self, Link};
use crate::tables::counters::{COUNTERS, Counters};
use crate::tables::frame::{End, Frame};
use crate::tables::freed_since::FreedSince;
use crate::tables::hash::{mix, mix_bytes};
use crate::tables::weight::Totals;

/// Distinct stacks kept at most.
pub const MAX_STACKS: usize = 1 << 18;
/// Bytes of records kept at most: a parser's recursion has as many deep stacks as inputs.
pub const MAX_BYTES: u64 = 96 << 20;
/// How far a stack is cut, the fuller the table is: innermost frames, and Go's from where Go called C. The shorter the fewer
/// distinct ones there are. Each may take the table to so many sixteenths.
const SHORTENED: [(usize, usize, usize); 2] = [(8, 4, 15), (2, 1, 16)];
const WHOLE_SIXTEENTHS: usize = 14;
const BUCKETS: usize = 1 << 14;

/// Stacks, and bytes of them, when the table is so full. Of a bound on all tables a quarter is for stacks: with no room for its
/// blocks no stack says anything.
fn sixteenths(n: usize) -> (usize, u64) {
    let most_bytes = MAX_BYTES.min(pages::limit_of_tables() / 4);
    (MAX_STACKS / 16 * n, most_bytes / 16 * n as u64)
}

/// Where a redirected call stands in the source, as the header handed it over.
///
/// The strings live as long as the process: the table of stacks keeps its own copies, so a library may be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// `__FILE__` as the compiler saw it; rarely not UTF-8.
    pub file: &'static [u8],
    /// `__LINE__`.
    pub line: u32,
    /// `__func__`; empty outside a function.
    pub function: &'static [u8],
}

/// What a distinct stack is. Lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// Number of the stack in the table of stacks: the same stack has the same number in every later snapshot.
    pub id: u32,
    /// Why the stack ends.
    pub end: End,
    /// The redirected call, when the header's macros made the allocation: the profile's leaf.
    pub site: Option<Site>,
    /// Leaf first. Without a site, frame 0 is the caller of the hook.
    pub frames: &'static [Frame],
}

impl Stack {
    /// A stack that is not of the table of stacks, with `frames` that a test or a tool made up. Its memory is never given back.
    pub fn made_up(id: u32, site: Option<Site>, frames: Vec<Frame>, end: End) -> &'static Stack {
        Box::leak(Box::new(Stack {
            id,
            end,
            site,
            frames: frames.leak(),
        }))
    }
}

/// Number of a stack in this process; 0 is the stack of samples beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackId(pub u32);

/// One distinct stack. Written before it is published, then only the totals change.
pub struct Record {
    hash: u64,
    next: *mut Record,
    stack: Stack,
    /// Blocks allocated since the start, in units of 2^-16. Atomic, because every thread adds.
    alloc_objects_fixed: AtomicU64,
    /// Bytes allocated since the start.
    alloc_bytes: AtomicU64,
    /// Variance of `alloc_bytes`: an f64's bits.
    alloc_variance: AtomicU64,
    /// Of the peak. See [`crate::tables::peak`].
    pub freed_since: FreedSince,
    /// Estimated bytes of blocks that were found to have been freed past the hooks. Atomic, as above.
    unseen_bytes: AtomicU64,
}

impl Record {
    /// Its number.
    pub fn id(&self) -> StackId {
        StackId(self.stack.id)
    }

    /// What it is.
    pub fn stack(&'static self) -> &'static Stack {
        &self.stack
    }

    /// What was allocated here since the start.
    pub fn totals(&self) -> Totals {
        Totals {
            objects_fixed: self.alloc_objects_fixed.load(Relaxed),
            bytes: self.alloc_bytes.load(Relaxed),
            variance: f64::from_bits(self.alloc_variance.load(Relaxed)),
        }
    }

    /// Adds a sampled allocation. Context: hook.
    pub fn add(&self, sample: Totals) {
        self.alloc_objects_fixed.fetch_add(sample.objects_fixed, Relaxed);
        self.alloc_bytes.fetch_add(sample.bytes, Relaxed);
        if sample.variance > 0.0 {
            let sum = |bits| Some((f64::from_bits(bits) + sample.variance).to_bits());
            // Always succeeds: the closure never says None.
            let _ = self.alloc_variance.fetch_update(Relaxed, Relaxed, sum);
        }
    }

    /// Blocks of this stack that stand for so many bytes were freed past the hooks. Context: hook.
    pub fn add_unseen(&self, bytes: u64) {
        self.unseen_bytes.fetch_add(bytes, Relaxed);
    }

    /// Estimated bytes of blocks that were found to have been freed past the hooks. Context: any.
    pub fn unseen_bytes(&self) -> u64 {
        self.unseen_bytes.load(Relaxed)
    }

    fn is(&self, hash: u64, frames: &[Frame], end: End, site: Option<&SiteView>) -> bool {
        self.hash == hash
            && self.stack.end == end
            && self.stack.frames == frames
            && match (&self.stack.site, site) {
                (None, None) => true,
                (Some(own), Some(other)) => {
                    own.line == other.line && own.file == other.file && own.function == other.function
                }
                _ => false,
            }
    }
}

impl Link for Record {
    fn link(&mut self) -> &mut *mut Record {
        &mut self.next
    }
    fn next(&self) -> *mut Record {
        self.next
    }
}

/// A site whose strings still belong to the caller.
#[derive(Clone, Copy, Debug)]
pub struct SiteView<'a> {
    /// `__FILE__`.
    pub file: &'a [u8],
    /// `__LINE__`.
    pub line: u32,
    /// `__func__`.
    pub function: &'a [u8],
}

/// Chains of records by hash, and records by number. Both are mapped at the first sample; null before.
static BUCKETS_START: AtomicPtr<AtomicPtr<Record>> = AtomicPtr::new(null_mut());
static NEXT_ID: AtomicU32 = AtomicU32::new(1);
/// Bytes of all records.
static BYTES: AtomicU64 = AtomicU64::new(0);

static OVERFLOW: Record = Record {
    hash: 0,
    next: null_mut(),
    stack: Stack {
        id: 0,
        end: End::Complete,
        site: None,
        frames: &[],
    },
    alloc_objects_fixed: AtomicU64::new(0),
    alloc_bytes: AtomicU64::new(0),
    alloc_variance: AtomicU64::new(0),
    freed_since: FreedSince::new(),
    unseen_bytes: AtomicU64::new(0),
};

// SAFETY: a record's pointers lead to memory that is never written again nor given back; its totals are atomic.
unsafe impl Sync for Record {}

type Pointers = &'static [AtomicPtr<Record>];

/// The two arrays behind `BUCKETS_START`, mapped as one piece that the kernel fills in as it is touched.
fn arrays() -> Option<(Pointers, Pointers)> {
    let mut start = BUCKETS_START.load(Acquire);
    if start.is_null() {
        let bytes = (BUCKETS + MAX_STACKS) * size_of::<AtomicPtr<Record>>();
        let fresh = pages::map(bytes)?;
        match BUCKETS_START.compare_exchange(null_mut(), fresh.as_ptr().cast(), AcqRel, Acquire) {
            Ok(_) => start = fresh.as_ptr().cast(),
            Err(theirs) => {
                // SAFETY: nobody has seen our mapping.
                unsafe { pages::unmap(fresh, bytes) };
                start = theirs;
            }
        }
    }
    // SAFETY: `start` is a mapping of exactly these two arrays; zeroed memory is null pointers; it is never unmapped.
    unsafe {
        Some((
            core::slice::from_raw_parts(start, BUCKETS),
            core::slice::from_raw_parts(start.add(BUCKETS), MAX_STACKS),
        ))
    }
}

/// In four rows at once, since one has to wait for each of its products.
fn hash_of(frames: &[Frame], end: End) -> u64 {
    let mut rows = [mix(0, end as u64), 1, 2, 3];
    let (fours, rest) = frames.as_chunks::<4>();
    for four in fours {
        for (row, frame) in rows.iter_mut().zip(four) {
            *row = mix(*row, frame.cache_key());
        }
    }
    let [first, others @ ..] = rows;
    let hash = rest.iter().fold(first, |hash, frame| mix(hash, frame.cache_key()));
    others.into_iter().fold(hash, mix)
}

/// The record of this stack, added when it is new. Never fails: when the table is full it is that of a shortened stack, and without
/// memory or beyond the limit that of stack 0; then a counter goes up. Context: hook.
pub fn intern(frames: &[Frame], end: End, site: Option<SiteView>) -> &'static Record {
    if let Some(record) = find_or_add(frames, end, site, sixteenths(WHOLE_SIXTEENTHS)) {
        return record;
    }
    Counters::add(&COUNTERS.stacks_table_full);
    for (innermost, go, full) in SHORTENED {
        let mut short = [Frame::go(0); SHORTENED[0].0 + SHORTENED[0].1];
        let length = shorten(frames, innermost, go, &mut short);
        let short = short.get(..length).unwrap_or(&[]);
        if let Some(record) = find_or_add(short, End::TableFull, site, sixteenths(full)) {
            return record;
        }
    }
    &OVERFLOW
}

/// Copies the innermost frames and those of Go from where Go called C; says how many they are.
fn shorten(frames: &[Frame], innermost: usize, go: usize, out: &mut [Frame]) -> usize {
    let innermost = innermost.min(frames.len());
    let (near, far) = frames.split_at(innermost);
    let caller = match near.iter().any(|frame| frame.is_go()) {
        true => &[],
        false => far
            .iter()
            .position(|frame| frame.is_go())
            .map_or(&[][..], |at| &far[at..]),
    };
    let kept = near.iter().chain(caller.iter().take(go));
    out.iter_mut().zip(kept).map(|(to, from)| *to = *from).count()
}

/// The record of this stack; `None` when it is new and can't be added, for want of memory or since there are as many stacks, or bytes
/// of them, as `full` says.
fn find_or_add(frames: &[Frame], end: End, site: Option<SiteView>, full: (usize, u64)) -> Option<&'static Record> {
    let mut hash = hash_of(frames, end);
    if let Some(site) = &site {
        hash = mix_bytes(mix_bytes(mix(hash, u64::from(site.line)), site.file), site.function);
    }
    let (buckets, by_id) = arrays()?;
    let bucket = buckets.get((hash >> 40) as usize % BUCKETS)?;
    // SAFETY: a bucket is only ever given to this.
    let (record, added) = unsafe {
        chain::find_or_add(
            bucket,
            |record| record.is(hash, frames, end, site.as_ref()),
            || new_record(hash, frames, end, site, full),
        )?
    };
    if added && let Some(slot) = by_id.get(record.id().0 as usize) {
        slot.store(core::ptr::from_ref(record).cast_mut(), Release);
    }
    Some(record)
}

fn new_record(
    hash: u64,
    frames: &[Frame],
    end: End,
    site: Option<SiteView>,
    (most, most_bytes): (usize, u64),
) -> Option<&'static mut Record> {
    let bytes = size_of::<Record>() + size_of_val(frames);
    if NEXT_ID.load(Relaxed) as usize >= most || BYTES.load(Relaxed) + bytes as u64 > most_bytes {
        return None;
    }
    let site = match site {
        None => None,
        Some(view) => Some(Site {
            file: crate::tables::sites::intern(view.file)?,
            line: view.line,
            function: crate::tables::sites::intern(view.function)?,
        }),
    };
    let place = ARENA.allocate(bytes)?.cast::<Record>().as_ptr();
    // SAFETY: the piece has room for the record and, right behind it, the frames, which are words as the record is.
    let frames = unsafe {
        let behind = place.add(1).cast::<Frame>();
        core::ptr::copy_nonoverlapping(frames.as_ptr(), behind, frames.len());
        core::slice::from_raw_parts(behind, frames.len())
    };
    BYTES.fetch_add(bytes as u64, Relaxed);
    let id = NEXT_ID.fetch_add(1, Relaxed);
    if id as usize >= MAX_STACKS {
        return None;
    }
    let record = Record {
        hash,
        next: null_mut(),
        stack: Stack { id, end, site, frames },
        alloc_objects_fixed: AtomicU64::new(0),
        alloc_bytes: AtomicU64::new(0),
        alloc_variance: AtomicU64::new(0),
        freed_since: FreedSince::new(),
        unseen_bytes: AtomicU64::new(0),
    };
    // SAFETY: fresh arena memory of the right size and alignment, ours alone until published.
    unsafe {
        place.write(record);
        Some(&mut *place)
    }
}

/// One more than the largest number given out.
pub fn end_of_ids() -> usize {
    (NEXT_ID.load(Acquire) as usize).min(MAX_STACKS)
}

/// The stack with this number; `None` for a number not given out or wasted.
pub fn get(id: StackId) -> Option<&'static Record> {
    if id.0 == 0 {
        return Some(&OVERFLOW);
    }
    let (_, by_id) = arrays()?;
    // SAFETY: published records live for ever.
    unsafe { by_id.get(id.0 as usize)?.load(Acquire).as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_stack_has_the_innermost_frames_and_the_go_caller() {
        let c = |n| Frame::new(n, crate::tables::frame::ObjectId(1));
        let go = Frame::go;
        let mut out = [go(0); 12];
        let mut short = |frames: &[Frame], innermost| {
            let length = shorten(frames, innermost, 2, &mut out);
            out[..length].to_vec()
        };
        let frames = [c(1), c(2), c(3), c(4), go(5), go(6), go(7), c(8)];
        assert_eq!(short(&frames, 2), [c(1), c(2), go(5), go(6)]);
        assert_eq!(short(&frames, 4), [c(1), c(2), c(3), c(4), go(5), go(6)]);
        assert_eq!(short(&frames, 5), [c(1), c(2), c(3), c(4), go(5)]);
        assert_eq!(short(&frames[..3], 2), [c(1), c(2)]);
        assert_eq!(short(&frames[..1], 2), [c(1)]);
    }
    use crate::tables::frame::ObjectId;

    fn stack(seed: u64, length: u64) -> Vec<Frame> {
        (0..length).map(|n| Frame::new(seed * 1000 + n, ObjectId(7))).collect()
    }

    #[test]
    fn the_same_stack_has_one_number_and_another_stack_another() {
        let frames = stack(1, 40);
        let site = SiteView {
            file: b"a.c",
            line: 3,
            function: b"f",
        };
        let record = intern(&frames, End::Complete, Some(site));
        assert_eq!(intern(&frames, End::Complete, Some(site)).id(), record.id());
        assert_ne!(intern(&frames, End::Complete, None).id(), record.id());
        assert_ne!(intern(&frames, End::TooDeep, Some(site)).id(), record.id());
        assert_ne!(
            intern(&frames, End::Complete, Some(SiteView { line: 4, ..site })).id(),
            record.id()
        );
        assert_ne!(intern(&frames[1..], End::Complete, Some(site)).id(), record.id());
        assert_eq!(get(record.id()).unwrap().stack().frames, frames);
        assert_eq!(get(record.id()).unwrap().stack().site.unwrap().function, b"f");
    }

    #[test]
    fn threads_that_add_the_same_stacks_agree_on_their_numbers() {
        let ids: Vec<Vec<StackId>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (100..600)
                            .map(|seed| intern(&stack(seed, 30), End::Complete, None).id())
                            .collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|other| *other == ids[0]));
        for (seed, id) in (100..600).zip(&ids[0]) {
            assert_eq!(get(*id).unwrap().stack().frames, stack(seed, 30));
        }
    }
}
