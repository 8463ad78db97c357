//! errno belongs to the program: slow paths save it at the door and put it back on the way out.

/// Restores errno when dropped. Context: hook.
pub struct ErrnoGuard(i32);

impl ErrnoGuard {
    /// Remembers the errno of the calling thread.
    pub fn save() -> ErrnoGuard {
        // SAFETY: __errno_location always returns the calling thread's valid errno cell.
        ErrnoGuard(unsafe { *libc::__errno_location() })
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        // SAFETY: as in `save`.
        unsafe { *libc::__errno_location() = self.0 }
    }
}

/// Sets errno, as the function that a hook stands for would. Context: hook.
pub fn set(value: i32) {
    // SAFETY: as in `ErrnoGuard::save`.
    unsafe { *libc::__errno_location() = value }
}
