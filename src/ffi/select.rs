//! The functions of `include/cgoheap.h` that choose from snapshots.

use core::ffi::c_int;
use core::ptr::null_mut;

use super::{CFilter, Code, NamedSnapshot, guarded};
use crate::snapshot::{StackTotals, largest_stacks};
use crate::sys::pages;

/// Alloc values since `earlier`, inuse values as they are.
///
/// # Safety
/// Both are null or live snapshots, `later` used by this thread only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_since(later: *mut NamedSnapshot, earlier: *const NamedSnapshot) -> c_int {
    if core::ptr::eq(later, earlier) && !later.is_null() {
        return Code::Argument as c_int;
    }
    guarded(|| {
        // SAFETY: null or live, says the caller, and not the same.
        let (Some(later), earlier) = (unsafe { (later.as_mut(), earlier.as_ref()) }) else {
            return Code::Null;
        };
        match earlier {
            Some(earlier) => {
                later.snapshot.since(&earlier.snapshot);
                later.go_pcs = later.snapshot.go_return_addresses();
            }
            // All that was ever allocated: a delta too, from when the program started. Without a duration Parca takes the
            // first of a series for another kind of profile than the rest.
            None => {
                let started = crate::record::settings::started_nanos();
                later.snapshot.duration_nanos = (later.snapshot.time_nanos - started).max(1);
            }
        }
        Code::Ok
    })
}

/// A copy of the values alone.
///
/// # Safety
/// `snapshot` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_values(snapshot: *const NamedSnapshot) -> *mut NamedSnapshot {
    let mut copied = null_mut();
    guarded(|| {
        // SAFETY: null or live, says the caller.
        let Some(snapshot) = (unsafe { snapshot.as_ref() }) else {
            return Code::Null;
        };
        copied = Box::into_raw(Box::new(NamedSnapshot::new(snapshot.snapshot.values_only())));
        Code::Ok
    });
    copied
}

/// Keeps the largest stacks and adds up the rest.
///
/// # Safety
/// `snapshot` is null or live and used by this thread only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_limit(snapshot: *mut NamedSnapshot, count: usize) -> c_int {
    guarded(|| {
        // SAFETY: null or live, says the caller.
        let Some(snapshot) = (unsafe { snapshot.as_mut() }) else {
            return Code::Null;
        };
        snapshot.snapshot.limit(count);
        snapshot.go_pcs = snapshot.snapshot.go_return_addresses();
        Code::Ok
    })
}

/// The stacks with most bytes in use.
///
/// # Safety
/// `filter` is null or valid; `out` is null or has room for `capacity` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_largest_stacks(
    filter: *const CFilter,
    out: *mut StackTotals,
    capacity: usize,
) -> usize {
    let mut written = 0;
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let Some(filter) = (unsafe { filter.as_ref() }) else {
            return Code::Null;
        };
        let Some(stacks) = largest_stacks(filter.into(), capacity) else {
            return Code::NoMemory;
        };
        // SAFETY: room for `capacity`, says the caller.
        written = unsafe { copy_out(stacks.into_iter(), out, capacity) };
        Code::Ok
    });
    written
}

/// Keeps some stacks.
///
/// # Safety
/// `snapshot` is null or live and used by this thread only; `ids` is null or points to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_keep(snapshot: *mut NamedSnapshot, ids: *const u32, count: usize) -> c_int {
    guarded(|| {
        // SAFETY: null or live, says the caller.
        let Some(snapshot) = (unsafe { snapshot.as_mut() }) else {
            return Code::Null;
        };
        if ids.is_null() && count != 0 {
            return Code::Null;
        }
        let ids = match count {
            0 => &[],
            // SAFETY: that many numbers, says the caller.
            _ => unsafe { core::slice::from_raw_parts(ids, count) },
        };
        snapshot.snapshot.keep(ids);
        snapshot.go_pcs = snapshot.snapshot.go_return_addresses();
        Code::Ok
    })
}

/// The stacks of a snapshot.
///
/// # Safety
/// `snapshot` is null or live; `out` is null or has room for `capacity` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_stacks(
    snapshot: *const NamedSnapshot,
    out: *mut StackTotals,
    capacity: usize,
) -> usize {
    let mut count = 0;
    guarded(|| {
        // SAFETY: null or live, says the caller.
        let Some(snapshot) = (unsafe { snapshot.as_ref() }) else {
            return Code::Null;
        };
        let stacks = snapshot.snapshot.stacks.iter().map(|stack| StackTotals {
            id: stack.id,
            alloc_objects: stack.values.alloc_objects,
            alloc_bytes: stack.values.alloc_bytes,
            inuse_objects: stack.values.inuse_objects,
            inuse_bytes: stack.values.inuse_bytes,
        });
        count = stacks.len();
        // SAFETY: room for `capacity`, says the caller.
        unsafe { copy_out(stacks, out, capacity) };
        Code::Ok
    });
    count
}

/// `struct cgoheap_range`.
#[repr(C)]
pub struct Range {
    /// Address.
    pub start: u64,
    /// Length.
    pub bytes: u64,
}

/// Where our own mappings are.
///
/// # Safety
/// `out` is null or has room for `capacity` elements.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_own_ranges(out: *mut Range, capacity: usize) -> usize {
    let mut written = 0;
    guarded(|| {
        let ranges = pages::ranges().map(|(start, bytes)| Range {
            start: start as u64,
            bytes: bytes as u64,
        });
        // SAFETY: room for `capacity`, says the caller.
        written = unsafe { copy_out(ranges, out, capacity) };
        Code::Ok
    });
    written
}

/// Writes at most `capacity` elements to `out`, and returns how many.
///
/// # Safety
/// `out` is null or has room for `capacity` elements.
unsafe fn copy_out<T>(from: impl Iterator<Item = T>, out: *mut T, capacity: usize) -> usize {
    if out.is_null() {
        return 0;
    }
    let mut written = 0;
    for element in from.take(capacity) {
        // SAFETY: `written` is below `capacity`.
        unsafe { out.add(written).write(element) };
        written += 1;
    }
    written
}
