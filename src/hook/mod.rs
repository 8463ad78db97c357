//! 1. **Hooks**: the order of events around the real allocator.
//!
//! - An allocation is recorded *after* the real call returned: before that it has no address.
//! - A block is forgotten *before* the real free: after it, another thread may own the address.
//! - A realloc follows both: the old block is forgotten before, the new one recorded after, and when the real realloc
//!   fails the old block is put back, since it is still there.
//!
//! What is recorded goes: [`entry`] (registers) -> [`functions`] (the real call) -> [`record`] -> sampler -> unwind ->
//! stack table -> live table.

pub mod entry;
pub mod functions;
pub mod global_alloc;
pub mod guard;
pub mod real;
pub mod rust;
pub mod scratch;

use core::ffi::c_void;

use crate::frame::End;
use crate::live_table::{self, SampledAlloc};
use crate::sampler;
use crate::stack_table::{self, SiteView, Totals};
use crate::stats::{COUNTERS, Counters};
use crate::sys::{clock, errno::ErrnoGuard, float::FloatGuard, thread};
use crate::unwind::{self, cfi::Registers};
use guard::Guard;

/// Books the allocation of `size` bytes at `block`, if the sampler picks it; `site` is asked only then. Context: hook.
pub fn record<'a>(block: *mut c_void, size: usize, caller: Registers, site: impl FnOnce() -> Option<SiteView<'a>>) {
    if Guard::is_held() {
        return;
    }
    crate::control::read_environment_once();
    let _float = FloatGuard::enter();
    // SAFETY: the calling thread's own state; the reference ends before anything else looks at it.
    let Some(weight) = sampler::charge(unsafe { &mut *thread::state() }, size as u64, !block.is_null()) else {
        return;
    };
    if block.is_null() {
        return;
    }
    let _errno = ErrnoGuard::save();
    let _guard = Guard::enter();
    let Some(mut stack) = scratch::borrow() else {
        Counters::add(&COUNTERS.samples_lock_busy);
        return;
    };
    // SAFETY: as above. The unwinder uses the stack bounds only.
    let end = unwind::capture(caller, unsafe { &mut *thread::state() }, &mut stack);
    count_end(end);
    let record = stack_table::intern(stack.frames(), end, site());
    drop(stack);
    let entry = SampledAlloc {
        address: block as u64,
        requested_size: size as u64,
        weight,
        time_nanos: clock::monotonic_coarse_nanos(),
        stack: record.id(),
        mark: live_table::current_mark(),
    };
    if live_table::insert(entry) {
        record.add(Totals {
            objects_fixed: weight.objects_fixed(),
            bytes: entry.bytes(),
            variance: weight.variance(entry.requested_size) as f64,
        });
    }
}

/// Forgets the block, which is about to be freed. Context: hook.
#[inline]
pub fn forget(block: *mut c_void) -> Option<SampledAlloc> {
    if block.is_null() || !live_table::filter::may_contain(block as u64) {
        return None;
    }
    // Inside the profiler already (a signal handler, a fork's handlers): this thread may hold the lock itself.
    let wait = !Guard::is_held();
    let _errno = ErrnoGuard::save();
    let _guard = Guard::enter();
    live_table::remove(block as u64, wait)
}

/// Puts back a block whose realloc failed: it is as live as before. Context: hook.
pub fn put_back(entry: SampledAlloc) {
    let _errno = ErrnoGuard::save();
    let _guard = Guard::enter();
    live_table::put_back(entry);
}

fn count_end(end: End) {
    let counter = match end {
        End::Complete => return,
        End::TooDeep => &COUNTERS.stacks_too_deep,
        End::NoUnwindInfo => &COUNTERS.stacks_no_unwind_info,
        End::BadUnwindInfo => &COUNTERS.stacks_bad_unwind_info,
        End::UnreadableStack => &COUNTERS.stacks_unreadable,
        End::GoSystemStack => &COUNTERS.stacks_go_system,
        End::GoFramesOff => &COUNTERS.stacks_go_off,
        End::BadGoStack => &COUNTERS.stacks_bad_go,
    };
    Counters::add(counter);
}
