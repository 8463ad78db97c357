//! The backing allocator: what the program calls malloc, whichever that is, or, when the whole process is captured, the C
//! library's own behind the program's malloc. The linker decides which one: see `include/cgoheap_backing.h`.

use core::ffi::{c_int, c_void};

/// The backing functions: `struct cgoheap_backing_functions`. The entries find them by their offset.
#[repr(C)]
pub struct Backing {
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

// SAFETY: defined in backing.c, or in go/interpose, with this layout.
unsafe extern "C" {
    /// The table. It changes before main only, if at all.
    pub(super) safe static cgoheap_backing: Backing;
}

/// The backing functions. Context: hook.
#[inline(always)]
pub fn backing() -> &'static Backing {
    &cgoheap_backing
}
