//! Memory for our tables, straight from mmap: malloc can't be asked from inside malloc.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::sys::arch::system_call::system_call;

/// Bytes mapped for tables and not given back. Atomic, because every thread that grows a table adds to it.
static MAPPED: AtomicU64 = AtomicU64::new(0);

/// Bytes that cgoheap has mapped for its tables.
pub fn mapped_bytes() -> u64 {
    MAPPED.load(Relaxed)
}

/// Where our mappings are, so that a reader of /proc/self/smaps can tell them from others: start and bytes, 0 where there is
/// none. Mappings beyond these slots are counted in [`mapped_bytes`] only. Atomic, because maps and unmaps of several
/// threads write different slots, and a reader may find a mapping that comes or goes at that moment.
static RANGES: [(AtomicUsize, AtomicUsize); 1024] = [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 1024];

/// Start and length of our mappings, as far as they are known. Context: outside hooks.
pub fn ranges() -> impl Iterator<Item = (usize, usize)> {
    RANGES
        .iter()
        .map(|(start, bytes)| (start.load(Relaxed), bytes.load(Relaxed)))
        .filter(|&(start, bytes)| start != 0 && bytes != 0)
}

fn note(start: usize, bytes: usize) {
    for slot in &RANGES {
        if slot.0.load(Relaxed) == 0 && slot.0.compare_exchange(0, start, Relaxed, Relaxed).is_ok() {
            slot.1.store(bytes, Relaxed);
            return;
        }
    }
}

fn forget(start: usize) {
    if let Some(slot) = RANGES.iter().find(|slot| slot.0.load(Relaxed) == start) {
        slot.1.store(0, Relaxed);
        slot.0.store(0, Relaxed);
    }
}

/// Maps `bytes` (rounded up to pages) of zeroed memory, or `None` when the system refuses. Context: hook.
pub fn map(bytes: usize) -> Option<NonNull<u8>> {
    let bytes = bytes.checked_next_multiple_of(PAGE)?;
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
    const NO_FILE: usize = usize::MAX;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
    let start = unsafe { system_call(libc::SYS_mmap, [0, bytes, protection, flags, NO_FILE, 0]) }.ok()?;
    MAPPED.fetch_add(bytes as u64, Relaxed);
    note(start, bytes);
    NonNull::new(start as *mut u8)
}

/// As [`map`], at a multiple of `align`, a power of two. Context: outside hooks.
pub fn map_aligned(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    let bytes = bytes.checked_next_multiple_of(PAGE)?;
    // Mappings of one size often lie side by side.
    let start = map(bytes)?;
    if start.addr().get() & (align - 1) == 0 {
        return Some(start);
    }
    // SAFETY: mapped above.
    unsafe { unmap(start, bytes) };
    let whole = bytes.checked_add(align)?.checked_sub(PAGE)?;
    let start = map(whole)?;
    let before = start.addr().get().wrapping_neg() & (align - 1);
    forget(start.addr().get());
    // SAFETY: both ends of the mapping made above, in whole pages, and what is between them.
    let aligned = unsafe {
        let aligned = start.add(before);
        if before != 0 {
            give_back(start, before);
        }
        if whole - before != bytes {
            give_back(aligned.add(bytes), whole - before - bytes);
        }
        aligned
    };
    MAPPED.fetch_sub((whole - bytes) as u64, Relaxed);
    note(aligned.addr().get(), bytes);
    Some(aligned)
}

/// munmap(2).
///
/// # Safety
/// Whole pages of ours that nobody uses.
unsafe fn give_back(start: NonNull<u8>, bytes: usize) {
    // SAFETY: says the caller.
    let _ = unsafe { system_call(libc::SYS_munmap, [start.as_ptr() as usize, bytes, 0, 0, 0, 0]) };
}

/// Gives back what [`map`] gave. Context: hook.
///
/// # Safety
/// `start` and `bytes` are those of one call of [`map`] or [`map_aligned`], and nobody uses the memory any more.
pub unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    let bytes = bytes.next_multiple_of(PAGE);
    forget(start.as_ptr() as usize); // before the kernel may give the address to another thread
    // SAFETY: the caller hands over a mapping of ours that nobody uses.
    unsafe { give_back(start, bytes) };
    MAPPED.fetch_sub(bytes as u64, Relaxed);
}

/// Makes a mapping larger or smaller; it may move. `None`, and nothing has changed, when the system refuses. Context: outside hooks.
///
/// # Safety
/// As for [`unmap`], but the contents stay, as far as the new size goes.
pub unsafe fn remap(start: NonNull<u8>, bytes: usize, new_bytes: usize) -> Option<NonNull<u8>> {
    let (bytes, new_bytes) = (
        bytes.checked_next_multiple_of(PAGE)?,
        new_bytes.checked_next_multiple_of(PAGE)?,
    );
    forget(start.as_ptr() as usize);
    let (old, may_move) = (start.as_ptr() as usize, libc::MREMAP_MAYMOVE as usize);
    // SAFETY: the caller hands over a mapping of ours.
    let Ok(moved) = (unsafe { system_call(libc::SYS_mremap, [old, bytes, new_bytes, may_move, 0, 0]) }) else {
        note(old, bytes);
        return None;
    };
    note(moved, new_bytes);
    MAPPED.fetch_add(new_bytes as u64, Relaxed);
    MAPPED.fetch_sub(bytes as u64, Relaxed);
    NonNull::new(moved as *mut u8)
}

/// Gives the pages back, not the addresses: they hold zeros, until they are written to again. They count as given back until
/// [`use_again`]. Context: hook.
///
/// # Safety
/// `start` and `bytes` are whole pages within a mapping of [`map`], `bytes` rounded up; what they hold is no longer needed.
pub unsafe fn discard(start: NonNull<u8>, bytes: usize) {
    let bytes = bytes.next_multiple_of(PAGE);
    // SAFETY: the caller hands over pages of an anonymous mapping of ours.
    let _ = unsafe {
        system_call(
            libc::SYS_madvise,
            [start.as_ptr() as usize, bytes, libc::MADV_DONTNEED as usize, 0, 0, 0],
        )
    };
    MAPPED.fetch_sub(bytes as u64, Relaxed);
}

/// Counts pages that [`discard`] gave back as used. Context: hook.
pub fn use_again(bytes: usize) {
    MAPPED.fetch_add(bytes.next_multiple_of(PAGE) as u64, Relaxed);
}

/// The page size of linux/amd64.
pub const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aligned_mapping_has_no_rest() {
        const ALIGN: usize = 64 * PAGE;
        let mapped: Vec<_> = (0..20).map(|_| map_aligned(3 * PAGE, ALIGN).unwrap()).collect();
        for start in mapped {
            assert_eq!(start.addr().get() % ALIGN, 0);
            assert!(ranges().any(|range| range == (start.addr().get(), 3 * PAGE)));
            // SAFETY: mapped above, and used by nobody.
            unsafe {
                start.as_ptr().write_bytes(1, 3 * PAGE);
                unmap(start, 3 * PAGE);
            }
        }
    }

    #[test]
    fn a_mapping_is_known_until_it_is_given_back() {
        let start = map(3 * PAGE).unwrap();
        let known = || ranges().any(|range| range == (start.as_ptr() as usize, 3 * PAGE));
        assert!(known());
        // SAFETY: mapped above, used by nobody.
        unsafe { unmap(start, 3 * PAGE) };
        assert!(!known());
    }
}
