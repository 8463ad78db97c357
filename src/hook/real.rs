//! The allocator behind the hooks: what the program calls malloc, whichever that is.
//!
//! Function pointers rather than calls, since the whole-process door must go beneath its own `malloc`, to glibc's.

use core::ffi::{c_int, c_void};

/// The real functions. Field order is known to the assembly in [`super::entry`].
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
    /// `malloc_usable_size`.
    pub malloc_usable_size: unsafe extern "C" fn(*mut c_void) -> usize,
}

// SAFETY: functions of libc with these signatures (malloc(3), posix_memalign(3), malloc_usable_size(3)).
unsafe extern "C" {
    fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void;
    fn valloc(size: usize) -> *mut c_void;
}

/// What the header door calls.
pub static REAL: Real = Real {
    malloc: libc::malloc,
    free: libc::free,
    calloc: libc::calloc,
    realloc: libc::realloc,
    reallocarray,
    posix_memalign: libc::posix_memalign,
    aligned_alloc: libc::aligned_alloc,
    memalign: libc::memalign,
    valloc,
    malloc_usable_size: libc::malloc_usable_size,
};
