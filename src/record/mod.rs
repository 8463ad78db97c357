//! What is done for a block that the sampler has picked: the stack, the tables, the peak, the trigger of a dump.

pub mod counting;
pub mod sampler;
pub mod settings;
pub mod trigger;

use core::ffi::c_void;

use crate::sys::guard::Guard;
use crate::sys::{clock, errno::ErrnoGuard, float::FloatGuard, registers::Registers, thread};
use crate::tables::block::{self, SampledAlloc};
use crate::tables::blocks;
use crate::tables::counters::{COUNTERS, Counters};
use crate::tables::frame::End;
use crate::tables::peak;
use crate::tables::stacks::{self, SiteView};
use crate::tables::weight::Totals;
use crate::unwind::{self, scratch};

/// Records the allocation of `size` bytes at `block`, if the sampler picks it; `site` is asked only then. Context: hook.
pub fn record<'a>(block: *mut c_void, size: usize, mut caller: Registers, site: impl FnOnce() -> Option<SiteView<'a>>) {
    if Guard::is_held() {
        return;
    }
    settings::read_environment_once();
    let _float = FloatGuard::enter();
    // SAFETY: the calling thread's own state; the reference ends before anything else looks at it.
    let weight = sampler::charge(unsafe { &mut *thread::state() }, size as u64, !block.is_null());
    if block.is_null() {
        return;
    }
    let Some(weight) = weight else { return heal(block) };
    let _errno = ErrnoGuard::save();
    let _guard = Guard::enter();
    let Some(mut stack) = scratch::borrow() else {
        Counters::add(&COUNTERS.samples_lock_busy);
        return;
    };
    // SAFETY: as above. The unwinder uses the stack bounds only.
    let end = unwind::capture(&mut caller, unsafe { &mut *thread::state() }, &mut stack);
    count_end(end);
    let record = stacks::intern(stack.frames(), end, site());
    drop(stack);
    let entry = SampledAlloc {
        address: block as u64,
        requested_size: size as u64,
        weight,
        time_nanos: clock::monotonic_coarse_nanos(),
        stack: record.id(),
        mark: block::current_mark(),
    };
    let entered = blocks::insert(entry);
    after_healing();
    if entered {
        let live_bytes = blocks::live_bytes();
        peak::check(live_bytes);
        trigger::check(live_bytes);
        record.add(Totals {
            objects_fixed: weight.objects_fixed(),
            bytes: entry.bytes(),
            variance: weight.variance(entry.requested_size) as f64,
        });
    }
}

/// Takes a stale entry out of the table: this block has just been allocated, so the one that was recorded at its address has been
/// freed past the hooks. Context: hook.
fn heal(block: *mut c_void) {
    if blocks::filter::may_contain(block as u64) {
        let _errno = ErrnoGuard::save();
        let _guard = Guard::enter();
        blocks::heal(block as u64);
        after_healing();
    }
}

/// The first block that was found to have been freed past the hooks makes all threads look for others. Context: hook.
fn after_healing() {
    if blocks::healing_has_begun() {
        sampler::draw_anew();
    }
}

/// Forgets the block, which is about to be freed. Context: hook.
#[inline]
pub fn forget(block: *mut c_void) -> Option<SampledAlloc> {
    if block.is_null() || !blocks::filter::may_contain(block as u64) {
        return None;
    }
    // Inside the profiler already (a signal handler, a fork's handlers): this thread may hold the lock itself.
    let wait = !Guard::is_held();
    let _errno = ErrnoGuard::save();
    let _guard = Guard::enter();
    blocks::remove(block as u64, wait)
}

/// Puts back a block whose realloc failed: it is as live as before. Context: hook.
pub fn put_back(entry: SampledAlloc) {
    let _errno = ErrnoGuard::save();
    let _guard = Guard::enter();
    blocks::put_back(entry);
}

fn count_end(end: End) {
    let counter = match end {
        // The table of stacks counts its own.
        End::Complete | End::TableFull => return,
        End::TooDeep => &COUNTERS.stacks_too_deep,
        End::NoUnwindInfo => &COUNTERS.stacks_no_unwind_info,
        End::BadUnwindInfo => &COUNTERS.stacks_bad_unwind_info,
        End::UnreadableStack => &COUNTERS.stacks_unreadable,
        End::GoSystemStack => &COUNTERS.stacks_go_system,
        End::GoFramesOff => &COUNTERS.stacks_go_off,
        End::BadGoStack => &COUNTERS.stacks_bad_go,
        End::NoRoom => &COUNTERS.stacks_no_room,
    };
    Counters::add(counter);
}
