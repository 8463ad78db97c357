//! [`CgoHeap`]: a global allocator around another one, the backing allocator, that records what Rust code allocates.
//!
//! It calls a handful of C functions of the archive, which [`super::rust`] defines. With the feature `tables` (the default)
//! they are in this very crate. Without it the crate only declares them: that is for a Rust library that is linked into a
//! Go program beside `libcgoheap.a`, so that the program has one set of tables and one profile.
//!
//! The backing allocator runs under the guard: when the whole process is captured, its malloc is hooked as well, and each
//! block must be counted once, here, where its size is the one that Rust asked for.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use std::alloc::System;

/// A block that was forgotten before its realloc, kept for the case that the realloc fails. See [`super::rust`].
#[repr(C)]
pub(crate) struct Forgotten {
    pub(crate) words: [u64; 8],
}

#[cfg_attr(not(feature = "tables"), allow(clippy::undocumented_unsafe_blocks))]
mod archive {
    use super::{Forgotten, c_void};
    // SAFETY: as `rust.rs` defines them.
    unsafe extern "C" {
        pub fn cgoheap_rust_enter() -> u64;
        pub fn cgoheap_rust_leave(countdown: u64);
        pub fn cgoheap_rust_allocated(block: *mut c_void, size: usize);
        pub fn cgoheap_rust_freeing(block: *mut c_void);
        pub fn cgoheap_rust_moving(block: *mut c_void, forgotten: *mut Forgotten) -> u32;
        pub fn cgoheap_rust_stayed(forgotten: *const Forgotten);
    }
}
use archive::*;

/// A global allocator that hands every call to `A`, the system's unless another is given, and records it.
///
/// ```
/// use cgoheap::CgoHeap;
///
/// #[global_allocator]
/// static HEAP: CgoHeap = CgoHeap::system();
///
/// fn main() {
///     let block = vec![0u8; 1 << 20];
///     assert_eq!(block.len(), 1 << 20);
/// }
/// ```
///
/// Blocks are `A`'s own: what is allocated here may be freed by `A`, and the other way round.
#[derive(Debug, Default)]
pub struct CgoHeap<A = System> {
    backing: A,
}

impl CgoHeap {
    /// Over the system's allocator.
    pub const fn system() -> CgoHeap {
        CgoHeap { backing: System }
    }
}

impl<A> CgoHeap<A> {
    /// Over another allocator.
    pub const fn over(backing: A) -> CgoHeap<A> {
        CgoHeap { backing }
    }
}

impl<A: GlobalAlloc> CgoHeap<A> {
    /// Calls the backing allocator without its own calls of malloc being recorded.
    #[inline]
    fn guarded<T>(&self, call: impl FnOnce(&A) -> T) -> T {
        // SAFETY: enter and leave come in pairs, on one thread; an allocator must not unwind.
        let countdown = unsafe { cgoheap_rust_enter() };
        let result = call(&self.backing);
        // SAFETY: as above.
        unsafe { cgoheap_rust_leave(countdown) };
        result
    }
}

// SAFETY: blocks, sizes and alignments are the backing allocator's, which keeps the contract; recording changes none of them,
// and neither allocates through the global allocator nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CgoHeap<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout, passed on.
        let block = self.guarded(|backing| unsafe { backing.alloc(layout) });
        // SAFETY: null or a new block.
        unsafe { cgoheap_rust_allocated(block.cast(), layout.size()) };
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout, passed on.
        let block = self.guarded(|backing| unsafe { backing.alloc_zeroed(layout) });
        // SAFETY: null or a new block.
        unsafe { cgoheap_rust_allocated(block.cast(), layout.size()) };
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: a block that is about to be freed.
        unsafe { cgoheap_rust_freeing(block.cast()) };
        // SAFETY: the caller's block and layout, passed on.
        self.guarded(|backing| unsafe { backing.dealloc(block, layout) });
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let mut forgotten = Forgotten { words: [0; 8] };
        // SAFETY: a block that is about to move; the other side fills at most these words.
        let was_sampled = unsafe { cgoheap_rust_moving(block.cast(), &mut forgotten) } != 0;
        // SAFETY: the caller's arguments, passed on.
        let moved = self.guarded(|backing| unsafe { backing.realloc(block, layout, new_size) });
        // SAFETY: null or a block of the new size; when it is null the old block is still there.
        unsafe {
            if moved.is_null() && was_sampled {
                cgoheap_rust_stayed(&forgotten);
            }
            cgoheap_rust_allocated(moved.cast(), new_size);
        }
        moved
    }
}
