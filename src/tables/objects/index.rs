//! An index of unwind tables (`.eh_frame`) where the linker left none (`.eh_frame_hdr`), of the same form as the linker's:
//!
//! ```text
//!   version, encodings | start of .eh_frame | n | n * (start of function, its entry in .eh_frame), sorted
//! ```
//!
//! Fully static programs have none, libraries linked with `--no-eh-frame-hdr`, and those for which a linker gave up.
//! Some say where `.eh_frame` is. Of others nothing in memory does, so it is looked for: it begins with a CIE, which looks like
//! little else, and is followed by entries for functions in the object's code.

use core::ops::Range;
use core::ptr::NonNull;

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection};

use super::segments::Segments;
use crate::sys::page_size::SMALLEST as PAGE;
use crate::sys::pages;
use crate::sys::readable::page_is_readable;

/// More of an object isn't searched: 50 ms, once.
const MOST_SEARCHED: u64 = 256 << 20;

/// Words before the rows, the first of them half used.
const HEADER_WORDS: usize = 3;
const HEADER_BEGINS_AT: usize = 4;

/// Calls `visit` with start of function and place of entry for each entry of `tables` whose function lies in `segments`' code.
fn each(tables: &'static [u8], segments: &Segments, mut visit: impl FnMut(u64, u64)) {
    let start = tables.as_ptr() as u64;
    let eh_frame = EhFrame::new(tables, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(start);
    let mut entries = eh_frame.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(fde) = entry else { continue };
        let Ok(fde) = fde.parse(EhFrame::cie_from_offset) else {
            continue;
        };
        let function = fde.initial_address();
        if segments.have_code(function..function.saturating_add(fde.len())) {
            visit(function, start + fde.offset() as u64);
        }
    }
}

/// The index for `tables`, which begin with `.eh_frame`, in pages of its own. `None` when they describe no function of
/// `segments`, or without memory. Context: hook.
#[cold]
pub(super) fn build(tables: &'static [u8], segments: &Segments) -> Option<&'static [u8]> {
    let mut count = 0;
    each(tables, segments, |_, _| count += 1);
    if count == 0 {
        return None;
    }
    let words = HEADER_WORDS + 2 * count;
    let memory: NonNull<u64> = pages::map(8 * words)?.cast();
    // SAFETY: fresh zeroed pages of at least this size, never given back.
    let memory = unsafe { core::slice::from_raw_parts_mut(memory.as_ptr(), words) };
    let (header, table) = memory.split_at_mut(HEADER_WORDS);
    const UDATA8: u8 = gimli::DW_EH_PE_udata8.0; // absolute addresses
    let encodings = u32::from_le_bytes([1, UDATA8, UDATA8, UDATA8]);
    header.copy_from_slice(&[
        u64::from(encodings) << (8 * HEADER_BEGINS_AT),
        tables.as_ptr() as u64,
        count as u64,
    ]);
    let (rows, _) = table.as_chunks_mut::<2>();
    let mut free = rows.iter_mut();
    each(tables, segments, |function, place| {
        if let Some(row) = free.next() {
            *row = [function, place];
        }
    });
    sort(rows);
    // SAFETY: the same memory, which from now on is only read.
    let bytes = unsafe { core::slice::from_raw_parts(memory.as_ptr().cast::<u8>(), 8 * words) };
    bytes.get(HEADER_BEGINS_AT..)
}

/// Heapsort: linear where it matters little, no memory, no recursion, and small. (libc's may ask for memory.)
fn sort(rows: &mut [[u64; 2]]) {
    if rows.is_sorted() {
        return; // as a rule: linkers and compilers keep the order of the code
    }
    fn sift_down(rows: &mut [[u64; 2]], mut at: usize) {
        loop {
            let mut child = 2 * at + 1;
            if child + 1 < rows.len() && rows[child] < rows[child + 1] {
                child += 1;
            }
            if child >= rows.len() || rows[child] <= rows[at] {
                return;
            }
            rows.swap(at, child);
            at = child;
        }
    }
    for at in (0..rows.len() / 2).rev() {
        sift_down(rows, at);
    }
    for end in (1..rows.len()).rev() {
        rows.swap(0, end);
        sift_down(&mut rows[..end], 0);
    }
}

/// Looks for `.eh_frame` in the memory of a loaded object: from its start to the end of the segment. Context: hook.
#[cold]
pub(super) fn find_tables(segments: &Segments) -> Option<&'static [u8]> {
    let mut left = MOST_SEARCHED;
    for segment in segments.all_readable() {
        let known = readable_part(segment.start..segment.end.min(segment.start.saturating_add(left)));
        left = left.saturating_sub(known.end - known.start);
        // SAFETY: the object is loaded, since its code is on our stack, and the kernel says that these pages can be read. What
        // is writable may change meanwhile; each word is read for itself then, and gimli's answers are checked.
        let bytes =
            unsafe { core::slice::from_raw_parts(known.start as *const u8, (known.end - known.start) as usize) };
        let first = (known.start.wrapping_neg() & 3) as usize;
        let mut at = first;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= 16) {
            if begins_like_a_cie(rest) {
                let mut found = false;
                each(rest, segments, |_, _| found = true);
                if found {
                    return Some(rest);
                }
            }
            at += 4;
        }
    }
    None
}

/// Length, CIE id 0, version, augmentation string (.eh_frame, Linux Standard Base 5.0, 10.6.1.1.1).
fn begins_like_a_cie(bytes: &[u8]) -> bool {
    let word = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map_or(u32::MAX, u32::from_le_bytes)
    };
    const LENGTHS: Range<u32> = 8..4096;
    word(4) == 0
        && LENGTHS.contains(&word(0))
        && word(0) % 4 == 0
        && matches!(bytes.get(8), Some(1 | 3))
        && matches!(bytes.get(9), Some(0 | b'z'))
}

/// From its start as far as pages can be read.
fn readable_part(range: Range<u64>) -> Range<u64> {
    let mut end = range.start;
    while end < range.end && page_is_readable(end) {
        end = (end & !(PAGE as u64 - 1)) + PAGE as u64;
    }
    range.start..end.min(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::objects;

    #[test]
    fn rows_come_out_sorted() {
        let mut state = 1u64;
        for length in [0, 1, 2, 3, 10, 1000] {
            let mut rows: Vec<[u64; 2]> = (0..length)
                .map(|row| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    [state >> 50, row]
                })
                .collect();
            let mut expected = rows.clone();
            expected.sort();
            sort(&mut rows);
            assert_eq!(rows, expected);
        }
    }

    #[test]
    fn tables_that_nothing_points_to_are_found_and_indexed_like_the_linkers() {
        let entry = objects::find(sort as *const () as u64).unwrap();
        let bases = BaseAddresses::default().set_eh_frame_hdr(entry.unwind_header.as_ptr() as u64);
        let linkers = gimli::EhFrameHdr::new(entry.unwind_header, LittleEndian)
            .parse(&bases, 8)
            .unwrap();
        let gimli::Pointer::Direct(start) = linkers.eh_frame_ptr() else {
            panic!("the linker's is direct")
        };
        let tables = find_tables(&entry.segments).unwrap();
        assert_eq!(tables.as_ptr() as u64, start);
        let ours = build(tables, &entry.segments).unwrap();
        let ours = gimli::EhFrameHdr::new(ours, LittleEndian).parse(&bases, 8).unwrap();
        assert_eq!(ours.eh_frame_ptr(), linkers.eh_frame_ptr());
        for function in [
            sort as *const () as u64,
            build as *const () as u64,
            find_tables as *const () as u64,
        ] {
            assert_eq!(
                ours.table().unwrap().lookup(function, &bases),
                linkers.table().unwrap().lookup(function, &bases)
            );
        }
    }
}
