//! Memory for our tables, straight from mmap: malloc can't be asked from inside malloc.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::errno::ErrnoGuard;

/// Bytes mapped for tables and not given back. Atomic, because every thread that grows a table adds to it.
static MAPPED: AtomicU64 = AtomicU64::new(0);

/// Bytes that cgoheap has mapped for its tables.
pub fn mapped_bytes() -> u64 {
    MAPPED.load(Relaxed)
}

/// Maps `bytes` (rounded up to pages) of zeroed memory, or `None` when the system refuses. Context: hook.
pub fn map(bytes: usize) -> Option<NonNull<u8>> {
    let bytes = bytes.checked_next_multiple_of(PAGE)?;
    let _errno = ErrnoGuard::save();
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
    let start = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return None;
    }
    MAPPED.fetch_add(bytes as u64, Relaxed);
    NonNull::new(start.cast())
}

/// Gives back what [`map`] gave. Context: hook.
///
/// # Safety
/// `start` and `bytes` are those of one call of [`map`], and nobody uses the memory any more.
pub unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    let bytes = bytes.next_multiple_of(PAGE);
    let _errno = ErrnoGuard::save();
    // SAFETY: the caller hands over a mapping of ours that nobody uses.
    unsafe { libc::munmap(start.as_ptr().cast(), bytes) };
    MAPPED.fetch_sub(bytes as u64, Relaxed);
}

/// The page size of linux/amd64.
pub const PAGE: usize = 4096;
