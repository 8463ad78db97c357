//! Renaming a file without taking the place of another.

use std::ffi::CStr;
use std::io;

/// Renames `from` to `to`. Context: outside hooks.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when `to` is there; [`io::ErrorKind::Unsupported`] on a file system without this kind of
/// rename; else what the file system says. Nothing has changed then.
pub fn without_replacing(from: &CStr, to: &CStr) -> io::Result<()> {
    // SAFETY: zero-terminated paths.
    let result = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        _ => Err(error),
    }
}
