//! What [`super::global_alloc`] calls, as C functions, so that a Rust library without tables of its own finds them in the
//! archive. `cgoheap_rust_allocated` and `cgoheap_rust_freeing`, with their unsampled paths, are in [`super::entry`].

use core::ffi::c_void;

use super::global_alloc::Forgotten;
use crate::record::{forget, put_back, record};
use crate::sys::call::Call;
use crate::tables::block::SampledAlloc;

const _: () = assert!(size_of::<SampledAlloc>() <= size_of::<Forgotten>() && align_of::<SampledAlloc>() <= 8);

/// Enters the guard: returns what [`cgoheap_rust_leave`] wants back.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_rust_enter() -> u64 {
    super::malloc::cgoheap_internal_guard()
}

/// Leaves the guard.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_rust_leave(countdown: u64) {
    super::malloc::cgoheap_internal_unguard(countdown);
}

/// Records a block, or charges a failure: the slow path. Context: hook.
pub(super) unsafe extern "C" fn allocated(call: &Call) -> *mut c_void {
    record(call.pointer(0), call.size(1), call.registers(), || None);
    core::ptr::null_mut()
}

/// Forgets a block: the slow path. Context: hook.
pub(super) unsafe extern "C" fn freeing(block: *mut c_void) {
    forget(block);
}

/// Forgets a block that is about to move; 1 when it was a sampled one, which is then kept in `forgotten`. Context: hook.
///
/// # Safety
/// `forgotten` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_rust_moving(block: *mut c_void, forgotten: *mut c_void) -> u32 {
    let Some(entry) = forget(block) else { return 0 };
    // SAFETY: large enough and aligned, see above.
    unsafe { forgotten.cast::<SampledAlloc>().write(entry) };
    1
}

/// The block stayed where it was. Context: hook.
///
/// # Safety
/// `forgotten` was filled by [`cgoheap_rust_moving`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_rust_stayed(forgotten: *const c_void) {
    // SAFETY: says the caller.
    put_back(unsafe { forgotten.cast::<SampledAlloc>().read() });
}
