//! Memory for our tables, straight from mmap: malloc can't be asked from inside malloc.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::sys::arch::page_size;
use crate::sys::arch::system_call::system_call;

/// What a mapping is for: each has half of the memory that [`set_limit`] allows, so that neither takes it from the other. A profile
/// costs no samples, and full tables leave room for the profile that shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Samples, stacks, objects: what hooks write to.
    Tables,
    /// What control code needs for a moment: snapshots, names, encoding.
    Control,
}

/// Bytes mapped and not given back, by use. Atomic, because every thread that grows a table adds to it.
static MAPPED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// The most that each may have.
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Bytes that cgoheap has mapped, for its tables and for control code.
pub fn mapped_bytes() -> u64 {
    MAPPED.iter().map(|mapped| mapped.load(Relaxed)).sum()
}

/// From now on [`mapped_bytes`] never grows beyond this. What is mapped stays. Context: any.
pub fn set_limit(bytes: u64) {
    LIMIT.store(bytes / 2, Relaxed);
}

/// The part of it that is for tables; all there is without a limit. Context: any.
pub fn limit_of_tables() -> u64 {
    LIMIT.load(Relaxed)
}

/// The part of it that is for control code; all there is without a limit. Context: any.
pub fn limit_of_control() -> u64 {
    LIMIT.load(Relaxed)
}

/// How often memory was refused because of [`set_limit`]. Context: any.
pub fn refused() -> u64 {
    REFUSED.load(Relaxed)
}

/// Counts `bytes` as mapped, unless they are beyond the limit.
fn reserve(bytes: usize, purpose: Use) -> Option<()> {
    let limit = LIMIT.load(Relaxed);
    let grown = |mapped: u64| mapped.checked_add(bytes as u64).filter(|sum| *sum <= limit);
    let reserved = MAPPED[purpose as usize].fetch_update(Relaxed, Relaxed, grown);
    if reserved.is_err() {
        REFUSED.fetch_add(1, Relaxed);
    }
    reserved.ok().map(drop)
}

fn release(bytes: usize, purpose: Use) {
    MAPPED[purpose as usize].fetch_sub(bytes as u64, Relaxed);
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

/// Maps `bytes` (rounded up to pages) of zeroed memory for tables, or `None` when the system refuses, or [`set_limit`]. Context: hook.
pub fn map(bytes: usize) -> Option<NonNull<u8>> {
    Use::Tables.map(bytes)
}

/// Gives back what [`map`] gave. Context: hook.
///
/// # Safety
/// As for [`Use::unmap`].
pub unsafe fn unmap(start: NonNull<u8>, bytes: usize) {
    // SAFETY: passed on to the caller.
    unsafe { Use::Tables.unmap(start, bytes) }
}

impl Use {
    /// Maps `bytes` (rounded up to pages) of zeroed memory, or `None` when the system refuses, or [`set_limit`]. Context: hook.
    pub fn map(self, bytes: usize) -> Option<NonNull<u8>> {
        let bytes = bytes.checked_next_multiple_of(PAGE)?;
        reserve(bytes, self)?;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
        const NO_FILE: usize = usize::MAX;
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
        let Ok(start) = (unsafe { system_call(libc::SYS_mmap, [0, bytes, protection, flags, NO_FILE, 0]) }) else {
            release(bytes, self);
            return None;
        };
        note(start, bytes);
        NonNull::new(start as *mut u8)
    }

    /// As [`Use::map`], at a multiple of `align`, a power of two. Context: outside hooks.
    pub fn map_aligned(self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        let bytes = bytes.checked_next_multiple_of(PAGE)?;
        // Mappings of one size often lie side by side.
        let start = self.map(bytes)?;
        if start.addr().get() & (align - 1) == 0 {
            return Some(start);
        }
        // SAFETY: mapped above.
        unsafe { self.unmap(start, bytes) };
        let whole = bytes
            .checked_add(align)?
            .checked_sub(page_size::SMALLEST)?
            .checked_next_multiple_of(PAGE)?;
        let start = self.map(whole)?;
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
        release(whole - bytes, self);
        note(aligned.addr().get(), bytes);
        Some(aligned)
    }

    /// Gives back what was mapped for the same use. Context: hook.
    ///
    /// # Safety
    /// `start` and `bytes` are those of one call of [`Use::map`] or [`Use::map_aligned`], and nobody uses the memory any more.
    pub unsafe fn unmap(self, start: NonNull<u8>, bytes: usize) {
        let bytes = bytes.next_multiple_of(PAGE);
        forget(start.as_ptr() as usize); // before the kernel may give the address to another thread
        // SAFETY: the caller hands over a mapping of ours that nobody uses.
        unsafe { give_back(start, bytes) };
        release(bytes, self);
    }

    /// Makes a mapping larger or smaller; it may move. `None`, and nothing has changed, when the system refuses, or [`set_limit`].
    /// Context: outside hooks.
    ///
    /// # Safety
    /// As for [`Use::unmap`], but the contents stay, as far as the new size goes.
    pub unsafe fn remap(self, start: NonNull<u8>, bytes: usize, new_bytes: usize) -> Option<NonNull<u8>> {
        let (bytes, new_bytes) = (
            bytes.checked_next_multiple_of(PAGE)?,
            new_bytes.checked_next_multiple_of(PAGE)?,
        );
        reserve(new_bytes.saturating_sub(bytes), self)?;
        forget(start.as_ptr() as usize);
        let (old, may_move) = (start.as_ptr() as usize, libc::MREMAP_MAYMOVE as usize);
        // SAFETY: the caller hands over a mapping of ours.
        let Ok(moved) = (unsafe { system_call(libc::SYS_mremap, [old, bytes, new_bytes, may_move, 0, 0]) }) else {
            note(old, bytes);
            release(new_bytes.saturating_sub(bytes), self);
            return None;
        };
        note(moved, new_bytes);
        release(bytes.saturating_sub(new_bytes), self);
        NonNull::new(moved as *mut u8)
    }
}

/// munmap(2).
///
/// # Safety
/// Whole pages of ours that nobody uses.
unsafe fn give_back(start: NonNull<u8>, bytes: usize) {
    // SAFETY: says the caller.
    let _ = unsafe { system_call(libc::SYS_munmap, [start.as_ptr() as usize, bytes, 0, 0, 0, 0]) };
}

/// Gives the pages back, not the addresses: they hold zeros, until they are written to again. They count as given back until
/// [`use_again`]. Context: hook.
///
/// # Safety
/// `start` and `bytes` are whole pages within a mapping for tables, `bytes` rounded up; what they hold is no longer needed.
pub unsafe fn discard(start: NonNull<u8>, bytes: usize) {
    let bytes = bytes.next_multiple_of(PAGE);
    // SAFETY: the caller hands over pages of an anonymous mapping of ours.
    let discarded = unsafe {
        system_call(
            libc::SYS_madvise,
            [start.as_ptr() as usize, bytes, libc::MADV_DONTNEED as usize, 0, 0, 0],
        )
    };
    if discarded.is_err() {
        // Pages that mlockall(2) keeps in memory stay there, but what they hold has to go.
        // SAFETY: as above.
        unsafe { start.write_bytes(0, bytes) };
    }
    release(bytes, Use::Tables);
}

/// Counts pages that [`discard`] gave back as used. `None`, and they are not to be used, when [`set_limit`] allows no more.
/// Context: hook.
pub fn use_again(bytes: usize) -> Option<()> {
    reserve(bytes.next_multiple_of(PAGE), Use::Tables)
}

/// What mappings are counted in: a multiple of every size that the kernel's pages may have. A mapping may begin at any multiple of
/// [`page_size::SMALLEST`].
pub const PAGE: usize = page_size::LARGEST;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aligned_mapping_has_no_rest() {
        const ALIGN: usize = 64 * PAGE;
        let mapped: Vec<_> = (0..20)
            .map(|_| Use::Control.map_aligned(3 * PAGE, ALIGN).unwrap())
            .collect();
        for start in mapped {
            assert_eq!(start.addr().get() % ALIGN, 0);
            assert!(ranges().any(|range| range == (start.addr().get(), 3 * PAGE)));
            // SAFETY: mapped above, and used by nobody.
            unsafe {
                start.as_ptr().write_bytes(1, 3 * PAGE);
                Use::Control.unmap(start, 3 * PAGE);
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
