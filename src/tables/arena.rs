//! Memory that is written once and lives as long as the process: stacks, sites, names of loaded objects.

use core::ptr::NonNull;

use crate::sys::lock::Lock;
use crate::sys::pages;

/// Bytes that one mapping of the arena holds. Larger pieces get a mapping of their own.
const CHUNK: usize = 256 * 1024;

struct Chunk {
    next: usize,
    end: usize,
}

/// Hands out memory from mmap'd chunks; nothing is given back.
pub struct Arena {
    /// Protects where the next piece begins.
    chunk: Lock<Chunk>,
}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

impl Arena {
    /// An arena without memory yet.
    pub const fn new() -> Arena {
        Arena {
            chunk: Lock::new(Chunk { next: 0, end: 0 }),
        }
    }

    /// `size` zeroed bytes aligned to 8, or `None` when the system has no more memory. Context: hook.
    pub fn allocate(&self, size: usize) -> Option<NonNull<u8>> {
        let size = size.checked_next_multiple_of(8)?;
        let mut chunk = self.chunk.lock_bounded()?;
        if chunk.end - chunk.next < size {
            if size > CHUNK / 4 {
                return pages::map(size);
            }
            let fresh = pages::map(CHUNK)?.as_ptr() as usize;
            *chunk = Chunk {
                next: fresh,
                end: fresh + CHUNK,
            };
        }
        let piece = chunk.next;
        chunk.next += size;
        NonNull::new(piece as *mut u8)
    }

    /// `value`, in memory that lives as long as the process; `None` without memory. It is never dropped. Context: hook.
    pub fn place<T>(&self, value: T) -> Option<&'static mut T> {
        const { assert!(align_of::<T>() <= 8, "the arena aligns to 8 bytes") };
        let place = self.allocate(size_of::<T>())?.cast::<T>().as_ptr();
        // SAFETY: fresh memory of the right size and alignment, ours alone and never given back.
        unsafe {
            place.write(value);
            Some(&mut *place)
        }
    }

    /// A copy of `bytes` that lives as long as the process. Context: hook.
    pub fn copy_bytes(&self, bytes: &[u8]) -> Option<&'static [u8]> {
        if bytes.is_empty() {
            return Some(&[]);
        }
        let copy = self.allocate(bytes.len())?;
        // SAFETY: `copy` has room for the bytes, is ours alone and is never given back.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), copy.as_ptr(), bytes.len());
            Some(core::slice::from_raw_parts(copy.as_ptr(), bytes.len()))
        }
    }

    /// Keeps the arena whole across a fork.
    pub fn lock_for_fork(&self) {
        self.chunk.lock_for_fork();
    }

    /// # Safety
    /// As for [`Lock::unlock_after_fork`].
    pub unsafe fn unlock_after_fork(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.chunk.unlock_after_fork() }
    }
}

/// The arena of this process.
pub static ARENA: Arena = Arena::new();
