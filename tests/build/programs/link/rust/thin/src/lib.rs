//! A Rust library of a Go program, with its allocations in the program's profile.

use cgoheap::CgoHeap;
use std::alloc::{GlobalAlloc, Layout, alloc, alloc_zeroed, dealloc, realloc};

#[global_allocator]
static HEAP: CgoHeap = CgoHeap::system();

#[inline(never)]
fn remember(size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    bytes.push(1);
    bytes
}

/// Loses a block of `size` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn thin_leak(size: usize) {
    std::mem::forget(std::hint::black_box(remember(size)));
}

/// Blocks of every alignment up to 1 MiB, zeroed ones, and such that grow, shrink and fail to grow; all are freed.
/// Returns 0, or the line of what is wrong.
#[unsafe(no_mangle)]
pub extern "C" fn thin_layouts() -> u32 {
    for shift in 0..=20 {
        for size in [1, 24, 5000, 3 << 20] {
            let layout = Layout::from_size_align(size, 1 << shift).unwrap();
            // SAFETY: sizes are not zero; each block is freed with the layout that it has by then.
            unsafe {
                let block = alloc(layout);
                if block.is_null() || block as usize & (layout.align() - 1) != 0 {
                    return line!();
                }
                block.write_bytes(0xa5, size);
                let grown = realloc(block, layout, size * 2);
                if grown.is_null() || grown as usize & (layout.align() - 1) != 0 || *grown.add(size - 1) != 0xa5 {
                    return line!();
                }
                let grown_layout = Layout::from_size_align(size * 2, layout.align()).unwrap();
                // More than there is: fails, and the block stays as it is, and recorded.
                if !HEAP
                    .realloc(grown, grown_layout, isize::MAX as usize - (1 << 20))
                    .is_null()
                {
                    return line!();
                }
                if *grown.add(size - 1) != 0xa5 {
                    return line!();
                }
                let shrunk = realloc(grown, grown_layout, 1);
                if shrunk.is_null() || *shrunk != 0xa5 {
                    return line!();
                }
                dealloc(shrunk, Layout::from_size_align(1, layout.align()).unwrap());
                let zeroed = alloc_zeroed(layout);
                if zeroed.is_null() || (0..size).any(|i| *zeroed.add(i) != 0) {
                    return line!();
                }
                dealloc(zeroed, layout);
            }
        }
    }
    0
}

/// Loses a block of `size` bytes whose growth has failed.
#[unsafe(no_mangle)]
pub extern "C" fn thin_leak_after_failure(size: usize) {
    let layout = Layout::from_size_align(size, 8).unwrap();
    // SAFETY: as above; the block is lost on purpose.
    unsafe {
        let block = alloc(layout);
        assert!(HEAP.realloc(block, layout, isize::MAX as usize - 64).is_null());
    }
}
