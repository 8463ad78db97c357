//! Sorting, for control code: one copy of the standard library's for everything that is sorted by its index. Each copy for a type
//! of its own is 7 KB of the archive.

use core::cmp::Ordering;

/// The numbers below `count` in the order that `compare` puts them in; equal ones in any order.
pub fn indices(count: usize, compare: &mut dyn FnMut(u32, u32) -> Ordering) -> Vec<u32> {
    let mut indices: Vec<u32> = (0..count as u32).collect();
    indices.sort_unstable_by(|&a, &b| compare(a, b));
    indices
}
