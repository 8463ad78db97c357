//! The allocator of our own control code: names, encoding, files. Its memory is that of [`super::heap`].
//!
//! Only in the archive: what a Rust program allocates by is the program's choice.
//!
//! # When there is no memory
//!
//! A profile needs megabytes for a moment, and may be asked for just when there are none left. A program must not die of
//! that, and the libraries that read debug information have no fallible way to allocate. So what allocates unwinds to the C
//! function that was called, which answers `CGOHEAP_ERR_NO_MEMORY`: [`unwind`](crate::sys::no_memory::unwind) from the standard library's own hook
//! for this, whose documentation shows a panic. (An allocator itself must not unwind. Without the hook the standard library
//! aborts the process. The hook is not stable: scripts/build-archive.sh asks for it by name, for this crate alone.)
//!
//! Unwinding allocates the exception, some 60 bytes. There is a place for it, for a few threads at a time: a thread that
//! found no memory waits for one, and then owns it until its exception is caught.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use super::heap;
use crate::sys::page_size::SMALLEST as PAGE;

/// See the head of this file.
pub struct ControlAllocator;

#[cfg(cgoheap_archive)]
#[global_allocator]
static ALLOCATOR: ControlAllocator = ControlAllocator;

// SAFETY: a block's size and alignment say which of the two kinds it is of, the same for all calls, or its address that it is
// the place for an exception; all give what is asked for, and none unwinds.
unsafe impl GlobalAlloc for ControlAllocator {
    #[inline(never)] // a copy at every call would be 80 KB of the archive
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // First: an owner's place is left when its exception is, so that is where the exception has to be.
        if let Some(place) = exception::place(layout) {
            return place.as_ptr();
        }
        match heap::allocate(layout.size(), layout.align()) {
            Some(block) => block.as_ptr(),
            None => nothing(),
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller; a small block has that size.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() && !heap::is_large(layout.size(), layout.align()) {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block)
            && !exception::leave(block)
        {
            // SAFETY: allocated by `alloc` or `realloc` with this size, and the caller is done with it.
            unsafe { heap::free(block, layout.size(), layout.align()) }
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if heap::same_class(size, new_size, align) {
            return block;
        }
        if align <= PAGE
            && heap::is_large(size, align)
            && heap::is_large(new_size, align)
            && let Some(start) = NonNull::new(block)
        {
            // SAFETY: mapped by `alloc` or `realloc` with this size.
            return unsafe { heap::resize(start, size, new_size) }.map_or_else(nothing, NonNull::as_ptr);
        }
        // SAFETY: the caller says that the new size is a valid one for this alignment; the blocks are different, and the old
        // one is given back once, if the new one is there.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, align));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, size.min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// The places for exceptions of threads that found no memory.
mod exception {
    use core::alloc::Layout;
    use core::cell::UnsafeCell;
    use core::ptr::NonNull;
    use core::sync::atomic::{
        AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
    };

    use crate::sys::thread;

    const COUNT: usize = 16;
    const SIZE: usize = 128;

    #[repr(align(16))]
    struct Places(UnsafeCell<[[u8; SIZE]; COUNT]>);
    // SAFETY: each is used by the thread that owns it.
    unsafe impl Sync for Places {}
    static PLACES: Places = Places(UnsafeCell::new([[0; SIZE]; COUNT]));
    /// Who owns which: the address of its thread's state, 0 for nobody; with the lowest bit set once it is in use. Atomic: threads
    /// take places while others leave theirs.
    static OWNER: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];

    /// How many are owned and not in use. Atomic: as `OWNER`. Nearly always 0, so that nobody else has to look further.
    static WAITING: AtomicUsize = AtomicUsize::new(0);

    fn me() -> usize {
        thread::state().addr()
    }

    /// Makes the calling thread the owner of a place; waits until there is one. False if it is one already: then it found no
    /// memory while it was unwinding.
    #[cfg_attr(
        not(any(test, cgoheap_archive)),
        allow(dead_code, reason = "the hook is the archive's")
    )]
    pub(super) fn claim() -> bool {
        if OWNER.iter().any(|owner| owner.load(Relaxed) & !1 == me()) {
            return false;
        }
        while !OWNER
            .iter()
            .any(|owner| owner.compare_exchange(0, me(), Acquire, Relaxed).is_ok())
        {
            std::thread::yield_now();
        }
        WAITING.fetch_add(1, Relaxed);
        true
    }

    /// The calling thread's place, if it owns one that is large enough and not in use.
    pub(super) fn place(layout: Layout) -> Option<NonNull<u8>> {
        if WAITING.load(Relaxed) == 0 || layout.size() > SIZE || layout.align() > 16 {
            return None;
        }
        let at = OWNER.iter().position(|owner| owner.load(Relaxed) == me())?;
        OWNER[at].store(me() | 1, Relaxed);
        WAITING.fetch_sub(1, Relaxed);
        NonNull::new(PLACES.0.get().cast::<[u8; SIZE]>().wrapping_add(at).cast())
    }

    /// Whether the block is such a place; then it is nobody's from now on.
    pub(super) fn leave(block: NonNull<u8>) -> bool {
        let offset = block.addr().get().wrapping_sub(PLACES.0.get().addr());
        match OWNER.get(offset / SIZE) {
            Some(owner) => {
                owner.store(0, Release);
                true
            }
            None => false,
        }
    }
}

/// What is answered when the system gives nothing: then the standard library asks its hook.
fn nothing() -> *mut u8 {
    #[cfg(cgoheap_archive)]
    std::alloc::set_alloc_error_hook(|_| {
        if exception::claim() {
            crate::sys::no_memory::unwind();
        }
        // Else the standard library aborts: a destructor can't do without memory. None of ours, or of the libraries, asks for any.
    });
    null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = heap::LARGEST_SMALL + 1;

    /// A block that has gone through these sizes still holds what was written to it, and large ones are zeroed and mapped.
    #[test]
    fn a_block_keeps_its_contents_through_all_sizes() {
        const SIZES: [usize; 9] = [
            100,
            101,
            5000,
            LARGE,
            10 * LARGE,
            3 * LARGE + 1,
            LARGE - 1,
            LARGE + PAGE,
            10,
        ];
        for align in [1, 64, PAGE, 4 * PAGE] {
            let layout = |size| Layout::from_size_align(size, align).unwrap();
            // SAFETY: one block, allocated, moved and given back by the same allocator with its layout of the moment.
            unsafe {
                let mut block = ControlAllocator.alloc_zeroed(layout(SIZES[0]));
                assert!((0..SIZES[0]).all(|at| *block.add(at) == 0));
                let mut size = SIZES[0];
                for at in 0..10 {
                    *block.add(at) = at as u8 + 1;
                }
                for new_size in SIZES {
                    block = ControlAllocator.realloc(block, layout(size), new_size);
                    size = new_size;
                    assert!(!block.is_null() && block.addr() % align == 0);
                    *block.add(size - 1) = 10 * u8::from(size == 10);
                    assert!(
                        (0..10).all(|at| *block.add(at) == at as u8 + 1),
                        "align {align}, size {size}"
                    );
                }
                ControlAllocator.dealloc(block, layout(size));
                for size in [200, 2 * LARGE] {
                    let zeroed = ControlAllocator.alloc_zeroed(layout(size));
                    assert!((0..size).all(|at| *zeroed.add(at) == 0));
                    zeroed.write_bytes(1, size);
                    ControlAllocator.dealloc(zeroed, layout(size));
                }
            }
        }
    }

    #[test]
    fn a_thread_that_found_no_memory_has_one_place_until_it_is_left() {
        let layout = Layout::from_size_align(64, 16).unwrap();
        assert!(exception::place(layout).is_none());
        for _ in 0..100 {
            assert!(exception::claim());
            assert!(!exception::claim());
            let place = exception::place(layout).unwrap();
            assert!(exception::place(layout).is_none(), "it is in use");
            assert!(!exception::claim(), "a second time, while unwinding");
            assert!(exception::leave(place));
        }
        assert!(!exception::leave(NonNull::from(&0u8)));
    }

    #[test]
    fn more_threads_than_places_wait_for_each_other() {
        let layout = Layout::from_size_align(64, 16).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..40 {
                scope.spawn(|| {
                    assert!(exception::claim());
                    let place = exception::place(layout).unwrap();
                    std::thread::yield_now();
                    assert!(exception::leave(place));
                });
            }
        });
    }
}
