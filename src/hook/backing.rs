//! The allocator behind the hooks: what the program calls malloc, whichever that is, or, when the whole-process door is
//! linked, glibc's own beneath the program's malloc. Which, is decided by the linker: see `include/cgoheap_real.h`.

use core::ffi::{c_int, c_void};

/// The real functions: `struct cgoheap_real_functions`. Field order is known to the assembly in [`super::entry`].
#[repr(C)]
pub struct Real {
    /// `malloc`.
    pub malloc: unsafe extern "C" fn(usize) -> *mut c_void,
    /// `free`.
    pub free: unsafe extern "C" fn(*mut c_void),
    /// `calloc`.
    pub calloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    /// `realloc`.
    pub realloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    /// `reallocarray`.
    pub reallocarray: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    /// `posix_memalign`.
    pub posix_memalign: unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int,
    /// `aligned_alloc`.
    pub aligned_alloc: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    /// `memalign`.
    pub memalign: unsafe extern "C" fn(usize, usize) -> *mut c_void,
    /// `valloc`.
    pub valloc: unsafe extern "C" fn(usize) -> *mut c_void,
    /// `pvalloc`.
    pub pvalloc: unsafe extern "C" fn(usize) -> *mut c_void,
    /// `malloc_usable_size`.
    pub malloc_usable_size: unsafe extern "C" fn(*mut c_void) -> usize,
}

// SAFETY: defined in real.c, or in go/interpose, with this layout.
unsafe extern "C" {
    /// The table. It changes before main only, if at all.
    pub(super) safe static cgoheap_real: Real;
}

/// The real functions. Context: hook.
#[inline(always)]
pub fn real() -> &'static Real {
    &cgoheap_real
}
