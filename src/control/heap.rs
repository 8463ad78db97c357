//! The heap of our own control code, in mappings that it gives back.
//!
//! Control code could take its memory from malloc, and once did. Then what naming needs for a moment, megabytes of small
//! blocks, comes from the arena of whichever thread asks for a profile and stays there as free memory: sixteen threads with one
//! profile each left 245 MB in a program that used 174 kB (mallinfo's fordblks). Here all threads share one heap, and a chunk
//! goes back to the system with its last block, but for a few that are kept.
//!
//! ```text
//!   up to 8 KiB    a chunk of 64 KiB for each size class, aligned to 64 KiB: a block's chunk is found from its address
//!                  | header | block | block | block | ... never used yet |
//!   above          a mapping of its own; growing moves pages, not bytes
//! ```
//!
//! One lock for all: control code is a profile now and then. Everything is counted in [`mapped_bytes`](crate::sys::pages::mapped_bytes).

use core::ptr::{NonNull, null_mut};

use crate::sys::lock::Lock;
use crate::sys::page_size::SMALLEST as PAGE;
use crate::sys::pages::Use;

/// Size and alignment of a chunk.
const CHUNK: usize = 64 * 1024;
/// The largest block that lies in a chunk.
pub(super) const LARGEST_SMALL: usize = 8192;
/// Chunks without blocks that are kept at most: naming has a few blocks of several classes at a time. With one it mapped 1,900 chunks
/// for each profile of 1,800 functions, half of its time; with four it maps a hundred, with eight no fewer.
const MOST_SPARES: usize = 4;
/// 16, 32, 48, 64, 96, 128, 192, ... 8192: two for each power of two.
const CLASSES: usize = 18;
const SMALLEST: usize = 16;

/// The chunks. Held for a few instructions, and for a mmap or munmap now and then; whoever holds it takes no other lock.
static HEAP: Lock<Heap> = Lock::new(Heap {
    with_room: [null_mut(); CLASSES],
    spare: null_mut(),
    spares: 0,
});

struct Heap {
    /// For each class a list of the chunks that have room.
    with_room: [*mut Chunk; CLASSES],
    /// A list of chunks without blocks, so that blocks that come and go aren't a system call each time.
    spare: *mut Chunk,
    /// How many they are.
    spares: usize,
}

// SAFETY: the pointers are to chunks that belong to this heap alone, which is behind a lock.
unsafe impl Send for Heap {}

/// The header of a chunk, at its start.
struct Chunk {
    next: *mut Chunk,
    previous: *mut Chunk,
    /// Blocks given back.
    free: *mut FreeBlock,
    class: usize,
    /// Blocks in use.
    used: usize,
    /// Where what was never used begins.
    fresh: usize,
}

struct FreeBlock {
    next: *mut FreeBlock,
}

/// The class for blocks of this size; `None` when they are too large for one.
fn class_of(size: usize) -> Option<usize> {
    match size {
        0..=SMALLEST => Some(0),
        17..=32 => Some(1),
        _ if size <= LARGEST_SMALL => {
            // The power of two below, halved: 33..=48 is the first step above 32, 49..=64 the second.
            let power = (size - 1).ilog2() as usize;
            let upper_half = (size - 1) >> (power - 1) & 1;
            Some(2 * (power - 5) + upper_half + 2)
        }
        _ => None,
    }
}

/// Bytes of a block of this class.
fn size_of_class(class: usize) -> usize {
    match class {
        0 => SMALLEST,
        1 => 32,
        _ => {
            let power = 32 << ((class - 2) / 2);
            if class.is_multiple_of(2) {
                power + power / 2
            } else {
                2 * power
            }
        }
    }
}

/// The class whose blocks have this size and alignment: those of powers of two are aligned to their size.
fn class_for(size: usize, align: usize) -> Option<usize> {
    if align <= SMALLEST {
        class_of(size)
    } else {
        class_of(size.max(align).checked_next_power_of_two()?)
    }
}

/// Where the first block of a chunk of this class begins.
fn first_block(class: usize) -> usize {
    let size = size_of_class(class);
    size_of::<Chunk>().next_multiple_of(1 << size.trailing_zeros())
}

const _: () = assert!(size_of::<Chunk>() <= LARGEST_SMALL && CHUNK >= 4 * LARGEST_SMALL);

/// A block of this size and alignment (a power of two), uninitialised; large ones are zeroed. `None` when the system gives no
/// more memory. Context: outside hooks.
pub(super) fn allocate(size: usize, align: usize) -> Option<NonNull<u8>> {
    match class_for(size, align) {
        Some(class) => HEAP.lock().allocate(class),
        None => {
            let map = || match align <= PAGE {
                true => Use::Control.map(size),
                false => Use::Control.map_aligned(size, align),
            };
            map().or_else(|| HEAP.lock().give_back_spares().then(map).flatten())
        }
    }
}

/// Makes a block with a mapping of its own larger or smaller. `None`, and nothing has changed, when the system gives no more memory.
/// Context: outside hooks.
///
/// # Safety
/// As for [`Use::remap`].
pub(super) unsafe fn resize(block: NonNull<u8>, size: usize, new_size: usize) -> Option<NonNull<u8>> {
    // SAFETY: passed on to the caller; when it says `None` nothing has changed.
    let remap = || unsafe { Use::Control.remap(block, size, new_size) };
    remap().or_else(|| HEAP.lock().give_back_spares().then(remap).flatten())
}

/// Whether blocks of this size and alignment have a mapping of their own.
pub(super) fn is_large(size: usize, align: usize) -> bool {
    class_for(size, align).is_none()
}

/// Takes a block back. Context: outside hooks.
///
/// # Safety
/// The block came from [`allocate`] with this size and alignment, and nobody uses it any more.
pub(super) unsafe fn free(block: NonNull<u8>, size: usize, align: usize) {
    match class_for(size, align) {
        // SAFETY: passed on to the caller.
        Some(_) => unsafe { HEAP.lock().free(block) },
        // SAFETY: a mapping of ours of this size, says the caller.
        None => unsafe { Use::Control.unmap(block, size) },
    }
}

/// Whether both sizes are of one class, so that a block need not move.
pub(super) fn same_class(size: usize, other: usize, align: usize) -> bool {
    match (class_for(size, align), class_for(other, align)) {
        (Some(class), Some(other)) => class == other,
        _ => false,
    }
}

/// For a fork: nobody else changes the heap meanwhile.
pub(super) fn lock_for_fork() {
    HEAP.lock_for_fork();
}

/// After it, in both processes.
///
/// # Safety
/// The calling thread called [`lock_for_fork`] before the fork.
pub(super) unsafe fn unlock_after_fork() {
    // SAFETY: passed on to the caller.
    unsafe { HEAP.unlock_after_fork() }
}

impl Heap {
    fn allocate(&mut self, class: usize) -> Option<NonNull<u8>> {
        let mut chunk = self.with_room.get(class).copied()?;
        if chunk.is_null() {
            chunk = self.new_chunk(class)?;
        }
        // SAFETY: a chunk of the list, which is ours; blocks in its free list and from `fresh` on are nobody's.
        unsafe {
            let block = match (*chunk).free {
                free if free.is_null() => {
                    let block = chunk.byte_add((*chunk).fresh).cast::<FreeBlock>();
                    (*chunk).fresh += size_of_class(class);
                    block
                }
                free => {
                    (*chunk).free = (*free).next;
                    free
                }
            };
            (*chunk).used += 1;
            if is_full(chunk) {
                self.unlist(chunk);
            }
            NonNull::new(block.cast())
        }
    }

    fn new_chunk(&mut self, class: usize) -> Option<*mut Chunk> {
        let chunk = match self.take_spare() {
            Some(spare) => spare,
            None => Use::Control.map_aligned(CHUNK, CHUNK)?.as_ptr().cast::<Chunk>(),
        };
        // SAFETY: a mapping of ours that holds nothing.
        unsafe {
            chunk.write(Chunk {
                next: null_mut(),
                previous: null_mut(),
                free: null_mut(),
                class,
                used: 0,
                fresh: first_block(class),
            });
        }
        self.list(chunk);
        Some(chunk)
    }

    /// # Safety
    /// The block came from [`Heap::allocate`], and nobody uses it any more.
    unsafe fn free(&mut self, block: NonNull<u8>) {
        let block = block.as_ptr();
        let chunk = block.map_addr(|address| address & !(CHUNK - 1)).cast::<Chunk>();
        let block = block.cast::<FreeBlock>();
        // SAFETY: small blocks lie in chunks, which are aligned to their size; the block is the caller's to give.
        unsafe {
            let was_full = is_full(chunk);
            block.write(FreeBlock { next: (*chunk).free });
            (*chunk).free = block;
            (*chunk).used -= 1;
            if was_full {
                self.list(chunk);
            }
            if (*chunk).used == 0 {
                self.unlist(chunk);
                if self.spares < MOST_SPARES {
                    (*chunk).next = core::mem::replace(&mut self.spare, chunk);
                    self.spares += 1;
                } else {
                    Use::Control.unmap(NonNull::new_unchecked(chunk.cast()), CHUNK);
                }
            }
        }
    }

    fn take_spare(&mut self) -> Option<*mut Chunk> {
        let spare = self.spare;
        // SAFETY: a chunk of the list of spares, which are ours.
        self.spare = unsafe { spare.as_ref() }?.next;
        self.spares -= 1;
        Some(spare)
    }

    /// For want of memory. Says whether there were any.
    fn give_back_spares(&mut self) -> bool {
        let any = !self.spare.is_null();
        while let Some(spare) = self.take_spare() {
            // SAFETY: a mapping of ours that nobody uses; it is in no list any more.
            unsafe { Use::Control.unmap(NonNull::new_unchecked(spare.cast()), CHUNK) };
        }
        any
    }

    /// Adds a chunk to those with room.
    fn list(&mut self, chunk: *mut Chunk) {
        // SAFETY: a chunk of ours that is in no list, and the first of one.
        unsafe {
            let Some(head) = self.with_room.get_mut((*chunk).class) else {
                return;
            };
            (*chunk).previous = null_mut();
            (*chunk).next = *head;
            if let Some(next) = head.as_mut() {
                next.previous = chunk;
            }
            *head = chunk;
        }
    }

    fn unlist(&mut self, chunk: *mut Chunk) {
        // SAFETY: a chunk of the list, and its neighbours.
        unsafe {
            let (previous, next) = ((*chunk).previous, (*chunk).next);
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => {
                    if let Some(head) = self.with_room.get_mut((*chunk).class) {
                        *head = next;
                    }
                }
            }
        }
    }
}

/// # Safety
/// A chunk of the heap, by whoever holds the lock.
unsafe fn is_full(chunk: *const Chunk) -> bool {
    // SAFETY: says the caller.
    unsafe { (*chunk).free.is_null() && (*chunk).fresh + size_of_class((*chunk).class) > CHUNK }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        assert_eq!(size_of_class(CLASSES - 1), LARGEST_SMALL);
        for class in 0..CLASSES {
            let size = size_of_class(class);
            assert_eq!(class_of(size), Some(class));
            assert_eq!(class_of(size + 1), (class + 1 < CLASSES).then_some(class + 1));
            assert!(first_block(class) >= size_of::<Chunk>());
        }
        assert_eq!(class_of(0), Some(0));
    }

    /// Frees and allocations in any order: blocks are aligned, keep what was written to them, so don't overlap, and at the end
    /// nothing but spare chunks is left.
    fn run(steps: Vec<(usize, u32, usize)>) {
        let mut blocks: Vec<(NonNull<u8>, usize, usize, u8)> = Vec::new();
        let mut release = |(block, size, align, mark): (NonNull<u8>, usize, usize, u8)| {
            // SAFETY: allocated below with this size.
            unsafe {
                assert_eq!((*block.as_ptr(), *block.as_ptr().add(size - 1)), (mark, mark));
                free(block, size, align);
            }
        };
        for (number, (size, align, which)) in steps.into_iter().enumerate() {
            let (align, mark) = (1 << align, number as u8);
            if which % 3 == 0 && !blocks.is_empty() {
                release(blocks.swap_remove(which % blocks.len()));
            }
            let block = allocate(size, align).unwrap();
            assert_eq!(block.addr().get() % align, 0, "{size} {align}");
            // SAFETY: a block of this size.
            unsafe { block.as_ptr().write_bytes(mark, size) };
            blocks.push((block, size, align, mark));
        }
        blocks.drain(..).for_each(&mut release);
    }

    proptest! {
        #[test]
        fn blocks_are_apart_and_aligned(
            steps in prop::collection::vec((prop_oneof![1usize..300, 1usize..20_000], 0u32..15, any::<usize>()), 1..400)
        ) {
            run(steps);
        }
    }

    #[test]
    fn threads_share_the_heap() {
        std::thread::scope(|scope| {
            for thread in 0..4usize {
                scope.spawn(move || {
                    run((0..3000)
                        .map(|step| (1 + (step * 37 + thread) % 9000, 0, step * 7 + thread))
                        .collect())
                });
            }
        });
    }

    /// In a heap of its own, since that of the process has other tests' blocks; and in a process of its own, since the system
    /// gives pages that are given back to the next test that asks.
    #[test]
    fn the_last_block_takes_its_chunk_along() {
        const ALONE: &str = "CGOHEAP_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let name = module_path!().split_once("::").unwrap().1.to_owned() + "::the_last_block_takes_its_chunk_along";
            let out = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &name])
                .env(ALONE, "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(out.status.success() && text.contains(" 1 passed"), "{text}");
            return;
        }
        let mut heap = Heap {
            with_room: [null_mut(); CLASSES],
            spare: null_mut(),
            spares: 0,
        };
        let class = class_of(100).unwrap();
        let blocks: Vec<_> = (0..5000).map(|_| heap.allocate(class).unwrap()).collect();
        let chunk = |block: &NonNull<u8>| block.addr().get() & !(CHUNK - 1);
        let chunks: std::collections::BTreeSet<_> = blocks.iter().map(chunk).collect();
        assert_eq!(
            chunks.len(),
            5000_usize.div_ceil((CHUNK - first_block(class)) / size_of_class(class))
        );
        let mapped = |chunks: &std::collections::BTreeSet<usize>| {
            crate::sys::pages::ranges()
                .filter(|(start, _)| chunks.contains(start))
                .count()
        };
        assert_eq!(mapped(&chunks), chunks.len());
        for block in blocks {
            // SAFETY: from this heap, once.
            unsafe { heap.free(block) };
        }
        assert!(heap.with_room.iter().all(|list| list.is_null()));
        assert!(chunks.len() > MOST_SPARES);
        assert_eq!(mapped(&chunks), MOST_SPARES, "the spare ones");
        let block = heap.allocate(class).unwrap();
        assert!(
            chunks.contains(&chunk(&block)) && heap.spares == MOST_SPARES - 1,
            "one is used"
        );
        assert!(heap.give_back_spares() && !heap.give_back_spares());
        assert_eq!(mapped(&chunks), 1);
        // SAFETY: from this heap, once.
        unsafe { heap.free(block) };
        assert!(heap.give_back_spares());
        assert_eq!((mapped(&chunks), heap.spares), (0, 0));
    }
}
