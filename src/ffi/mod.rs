//! The functions of `include/cgoheap.h` that control the profiler: null checks, panic boundary, codes; no logic.
//!
//! A panic here would be a bug of ours; it becomes [`Code::Panic`], since it must not cross into C, and the program must
//! not die of a profile.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::control::{rate, write};
use crate::profile::go_names::GoNames;
use crate::profile::symbols::ProcessSymbols;
use crate::profile::{self, Format};
use crate::record::{sampler, settings};
use crate::snapshot::stats;
use crate::snapshot::stats::Stats;
use crate::snapshot::{self, Filter, Snapshot};
use crate::sys::float::FloatGuard;
use crate::sys::guard::Guard;
use crate::sys::no_memory::NoMemory;

mod dump;
mod go;
mod select;
pub use go::GoProbe;
pub use select::Range;

/// `enum cgoheap_result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// A pointer that must not be null is null.
    Null = 1,
    /// An argument is out of its range or malformed.
    Argument = 2,
    /// The operating system gives no more memory.
    NoMemory = 3,
    /// A bug in cgoheap; the call did nothing.
    Panic = 4,
    /// Go's stacks are not laid out as expected.
    GoLayout = 5,
    /// A file could not be written.
    Io = 6,
    /// The program's C code has no unwind tables.
    NoTables = 7,
}

impl Code {
    fn of(error: &std::io::Error) -> Code {
        match error.kind() {
            std::io::ErrorKind::OutOfMemory => Code::NoMemory,
            _ => Code::Io,
        }
    }
}

/// Version of the C contract: the Go package refers to it, so that a stale archive fails to link.
#[unsafe(no_mangle)]
pub static cgoheap_abi_2: u32 = 2;

/// Runs what a function does: our own allocations are not recorded, a panic becomes a code.
fn guarded(body: impl FnOnce() -> Code) -> c_int {
    let _guard = Guard::enter();
    let _float = FloatGuard::enter();
    let caught = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| match NoMemory::is(&*payload) {
        true => Code::NoMemory,
        false => Code::Panic,
    });
    caught as c_int
}

/// A sentence about a result; static.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_result_text(result: c_int) -> *const c_char {
    let text = match result {
        0 => c"success",
        1 => c"a pointer that must not be null is null",
        2 => c"an argument is out of its range or malformed",
        3 => c"the operating system gives no more memory",
        4 => c"a bug in cgoheap: the call did nothing; please report it",
        5 => c"Go's stacks are not laid out as expected: Go frames stay off",
        6 => c"the file could not be written",
        7 => c"the program's C code has no unwind tables: stacks end behind their first function",
        _ => c"not a result of cgoheap",
    };
    text.as_ptr()
}

/// Sets the mean bytes between samples.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_set_rate(bytes: usize) -> c_int {
    guarded(|| match rate::set_rate(bytes) {
        Ok(()) => Code::Ok,
        Err(_) => Code::Argument,
    })
}

/// The mean bytes between samples.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_rate() -> usize {
    rate::rate()
}

/// Copies at most `size` bytes of the totals.
///
/// # Safety
/// `out` is null or points to `size` writable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_read_stats(out: *mut Stats, size: usize) -> c_int {
    guarded(|| {
        if out.is_null() {
            return Code::Null;
        }
        let stats = stats::read();
        let bytes = size.min(size_of::<Stats>());
        // SAFETY: both sides have that many bytes.
        unsafe { core::ptr::copy_nonoverlapping((&raw const stats).cast::<u8>(), out.cast::<u8>(), bytes) };
        Code::Ok
    })
}

/// A snapshot with the names that Go gave it.
pub struct NamedSnapshot {
    snapshot: Snapshot,
    go_pcs: Vec<u64>,
    go_names: GoNames,
}

impl NamedSnapshot {
    fn new(snapshot: Snapshot) -> NamedSnapshot {
        let go_pcs = snapshot.go_return_addresses();
        NamedSnapshot {
            snapshot,
            go_pcs,
            go_names: GoNames::default(),
        }
    }

    fn encode(&self, format: Format) -> Vec<u8> {
        profile::encode(&self.snapshot, &self.go_names, &mut ProcessSymbols::new(), format)
    }
}

/// Copies the tables; null when memory is short.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_snapshot_take() -> *mut NamedSnapshot {
    take(Filter::ALL)
}

/// `struct cgoheap_filter`.
#[repr(C)]
pub struct CFilter {
    /// As [`Filter::since_mark`].
    pub since_mark: u32,
    /// `enum cgoheap_filter_flags`.
    pub flags: u32,
    /// As [`Filter::min_age_nanos`].
    pub min_age_nanos: u64,
    /// As [`Filter::max_age_nanos`].
    pub max_age_nanos: u64,
}

/// `CGOHEAP_FILTER_BY_AGE`.
const BY_AGE: u32 = 1;
/// `CGOHEAP_FILTER_PEAK`.
const PEAK: u32 = 2;

impl From<&CFilter> for Filter {
    fn from(filter: &CFilter) -> Filter {
        let &CFilter {
            since_mark,
            flags,
            min_age_nanos,
            max_age_nanos,
        } = filter;
        Filter {
            since_mark,
            min_age_nanos,
            max_age_nanos,
            by_age: flags & BY_AGE != 0,
            peak: flags & PEAK != 0,
        }
    }
}

/// Copies the live blocks that pass the filter; null when it is null or memory is short.
///
/// # Safety
/// `filter` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_take_filtered(filter: *const CFilter) -> *mut NamedSnapshot {
    // SAFETY: null or valid, says the caller.
    match unsafe { filter.as_ref() } {
        Some(filter) => take(filter.into()),
        None => null_mut(),
    }
}

/// Draws a line between blocks.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_mark() -> u32 {
    crate::tables::block::mark()
}

/// Starts an exact count, instead of sampling.
///
/// # Safety
/// `running` and `mark` are null or valid until the count is stopped; `count` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_start_count(running: *const u8, mark: *mut u64, count: *mut c_int) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let Some(out) = (unsafe { count.as_mut() }) else {
            return Code::Null;
        };
        settings::read_environment_once();
        // SAFETY: valid, says the caller; what runs is only read.
        match unsafe { sampler::start_count(running.cast_mut(), mark) } {
            Some(count) => {
                *out = count as c_int;
                Code::Ok
            }
            None => Code::Argument,
        }
    })
}

/// Stops a count and says what it is.
///
/// # Safety
/// `objects` and `bytes` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_stop_count(count: c_int, objects: *mut u64, bytes: *mut u64) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let (Some(objects), Some(bytes)) = (unsafe { (objects.as_mut(), bytes.as_mut()) }) else {
            return Code::Null;
        };
        match usize::try_from(count).ok().and_then(sampler::stop_count) {
            Some(counted) => {
                (*objects, *bytes) = counted;
                Code::Ok
            }
            None => Code::Argument,
        }
    })
}

fn take(filter: Filter) -> *mut NamedSnapshot {
    let mut taken = null_mut();
    guarded(|| match snapshot::take(filter) {
        Some(snapshot) => {
            taken = Box::into_raw(Box::new(NamedSnapshot::new(snapshot)));
            Code::Ok
        }
        None => Code::NoMemory,
    });
    taken
}

/// Gives a snapshot back.
///
/// # Safety
/// `snapshot` is null or came from [`cgoheap_snapshot_take`] and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_free(snapshot: *mut NamedSnapshot) {
    if !snapshot.is_null() {
        guarded(|| {
            // SAFETY: a box of ours, handed back.
            drop(unsafe { Box::from_raw(snapshot) });
            Code::Ok
        });
    }
}

/// Turns `later` into the difference of the two.
///
/// # Safety
/// Both are null or live snapshots, `later` used by this thread only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_subtract(later: *mut NamedSnapshot, earlier: *const NamedSnapshot) -> c_int {
    if core::ptr::eq(later, earlier) && !later.is_null() {
        return Code::Argument as c_int;
    }
    guarded(|| {
        // SAFETY: live snapshots, and not the same.
        let (Some(later), Some(earlier)) = (unsafe { (later.as_mut(), earlier.as_ref()) }) else {
            return Code::Null;
        };
        later.snapshot.subtract(&earlier.snapshot);
        later.go_pcs = later.snapshot.go_return_addresses();
        Code::Ok
    })
}

/// The distinct Go return addresses of the snapshot.
///
/// # Safety
/// `snapshot` is null or live; `pcs` and `count` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_go_pcs(
    snapshot: *const NamedSnapshot,
    pcs: *mut *const u64,
    count: *mut usize,
) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let (Some(snapshot), Some(pcs), Some(count)) = (unsafe { (snapshot.as_ref(), pcs.as_mut(), count.as_mut()) })
        else {
            return Code::Null;
        };
        (*pcs, *count) = (snapshot.go_pcs.as_ptr(), snapshot.go_pcs.len());
        Code::Ok
    })
}

/// Names for them.
///
/// # Safety
/// `snapshot` is null or live and used by this thread only; `table` is null or points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_name_go(
    snapshot: *mut NamedSnapshot,
    table: *const c_void,
    length: usize,
) -> c_int {
    guarded(|| {
        // SAFETY: null or live, says the caller.
        let Some(snapshot) = (unsafe { snapshot.as_mut() }) else {
            return Code::Null;
        };
        if table.is_null() {
            return Code::Null;
        }
        // SAFETY: `length` readable bytes, says the caller.
        let table = unsafe { core::slice::from_raw_parts(table.cast::<u8>(), length) };
        match GoNames::parse(&snapshot.go_pcs, table) {
            Ok(names) => {
                snapshot.go_names = names;
                Code::Ok
            }
            Err(_) => Code::Argument,
        }
    })
}

/// Names the C addresses and encodes.
///
/// # Safety
/// `snapshot` is null or live; `bytes` and `length` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_snapshot_encode(
    snapshot: *const NamedSnapshot,
    format: c_int,
    bytes: *mut *mut u8,
    length: *mut usize,
) -> c_int {
    guarded(|| {
        // SAFETY: null or valid, says the caller.
        let (Some(snapshot), Some(bytes), Some(length)) =
            (unsafe { (snapshot.as_ref(), bytes.as_mut(), length.as_mut()) })
        else {
            return Code::Null;
        };
        let format = match format {
            0 => Format::Proto,
            1 => Format::Text,
            2 => Format::ProtoEach,
            _ => return Code::Argument,
        };
        let encoded = snapshot.encode(format).into_boxed_slice();
        *length = encoded.len();
        *bytes = Box::into_raw(encoded).cast();
        Code::Ok
    })
}

/// Takes back what [`cgoheap_snapshot_encode`] gave.
///
/// # Safety
/// `bytes` is null, or both come from one call of it and are not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_buffer_free(bytes: *mut u8, length: usize) {
    if !bytes.is_null() {
        guarded(|| {
            // SAFETY: a boxed slice of ours, handed back.
            drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(bytes, length)) });
            Code::Ok
        });
    }
}

/// Writes a gzipped profile to `path`.
///
/// # Safety
/// `path` is null or a zero-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_write_profile(path: *const c_char) -> c_int {
    use std::os::unix::ffi::OsStrExt;
    guarded(|| {
        if path.is_null() {
            return Code::Null;
        }
        // SAFETY: zero-terminated, says the caller.
        let path = std::ffi::OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes());
        match write::write_profile(path) {
            Ok(()) => Code::Ok,
            Err(error) => Code::of(&error),
        }
    })
}

/// Told by go/interpose, which captures the whole process, or tried to. When another allocator owns part of the family sampling
/// goes off and stays off: a block that one side hands out and the other takes back would look like a leak.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_interpose_report(state: c_int) {
    stats::set_interpose(state as u64);
    if state == stats::Interpose::Partly as c_int {
        guarded(|| {
            if sampler::switch_off_for_good() {
                Code::Ok
            } else {
                Code::Argument
            }
        });
    }
}
