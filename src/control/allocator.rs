//! The allocator of our own control code: names, encoding, files.
//!
//! Large blocks come straight from mmap and go straight back. malloc would do the same at first; but when glibc sees a large
//! block freed, it takes all up to that size from the heap from then on (mallopt(3), M_MMAP_THRESHOLD), where what a
//! profile needed for a moment, debug information of hundreds of megabytes, would leave holes in the program's heap. And the
//! program's own large blocks would go there too.
//!
//! Only in the archive: what a Rust program allocates by is the program's choice.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use std::alloc::System;

use crate::sys::pages::{self, PAGE};

/// See the head of this file.
pub struct ControlAllocator;

#[cfg(cgoheap_archive)]
#[global_allocator]
static ALLOCATOR: ControlAllocator = ControlAllocator;

/// Blocks from this size on are mapped.
const LARGE: usize = 64 * 1024;

fn is_large(size: usize, align: usize) -> bool {
    size >= LARGE && align <= PAGE
}

// SAFETY: a block's size and alignment say which of the two it is from, the same for all calls; both give what is asked for.
unsafe impl GlobalAlloc for ControlAllocator {
    #[inline(never)] // a copy at every call would be 80 KB of the archive
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout.align()) {
            return pages::map(layout.size()).map_or(null_mut(), NonNull::as_ptr);
        }
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout.size(), layout.align()) {
            return pages::map(layout.size()).map_or(null_mut(), NonNull::as_ptr);
        }
        // SAFETY: passed on to the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match NonNull::new(block) {
            // SAFETY: mapped by `alloc` or `realloc` with this size, and the caller is done with it.
            Some(block) if is_large(layout.size(), layout.align()) => unsafe { pages::unmap(block, layout.size()) },
            // SAFETY: passed on to the caller.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let large = |size| is_large(size, layout.align());
        match (large(layout.size()), large(new_size), NonNull::new(block)) {
            // SAFETY: passed on to the caller.
            (false, false, _) => unsafe { System.realloc(block, layout, new_size) },
            // SAFETY: mapped by `alloc` or `realloc` with this size.
            (true, true, Some(start)) => unsafe {
                pages::remap(start, layout.size(), new_size).map_or(null_mut(), NonNull::as_ptr)
            },
            _ => {
                // SAFETY: the caller says that the new size is a valid one for this alignment; the blocks are different, and
                // the old one is given back once, if the new one is there.
                unsafe {
                    let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
                    if !new.is_null() {
                        core::ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
                        self.dealloc(block, layout);
                    }
                    new
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block that has gone through these sizes still holds what was written to it, and large ones are zeroed and mapped.
    #[test]
    fn a_block_keeps_its_contents_through_all_sizes() {
        const SIZES: [usize; 8] = [100, 5000, LARGE, 10 * LARGE, 3 * LARGE + 1, LARGE - 1, LARGE + PAGE, 10];
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
                    let mapped = pages::ranges().any(|(start, _)| start == block.addr());
                    assert_eq!(mapped, size >= LARGE && align <= PAGE, "align {align}, size {size}");
                }
                ControlAllocator.dealloc(block, layout(size));
                let zeroed = ControlAllocator.alloc_zeroed(layout(2 * LARGE));
                assert!((0..2 * LARGE).all(|at| *zeroed.add(at) == 0));
                ControlAllocator.dealloc(zeroed, layout(2 * LARGE));
            }
        }
    }
}
