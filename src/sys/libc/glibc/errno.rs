//! errno belongs to the program: slow paths save it when they begin and put it back when they end.

/// Restores errno when dropped. Context: hook.
pub struct ErrnoGuard(i32);

impl ErrnoGuard {
    /// Remembers the errno of the calling thread.
    pub fn save() -> ErrnoGuard {
        ErrnoGuard(get())
    }
}

impl Drop for ErrnoGuard {
    fn drop(&mut self) {
        set(self.0);
    }
}

/// The calling thread's errno. Context: hook.
pub fn get() -> i32 {
    // SAFETY: __errno_location always returns the calling thread's valid errno cell.
    unsafe { *libc::__errno_location() }
}

/// Sets errno, as the function that a hook stands for would. Context: hook.
pub fn set(value: i32) {
    // SAFETY: as in `get`.
    unsafe { *libc::__errno_location() = value }
}
