//! Renaming a file without taking the place of another.

use std::ffi::CStr;
use std::io;

use crate::sys::arch::system_call::system_call;

/// Renames `from` to `to`. Context: outside hooks.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when `to` is there; [`io::ErrorKind::Unsupported`] on a file system without this kind of
/// rename; else what the file system says. Nothing has changed then.
pub fn without_replacing(from: &CStr, to: &CStr) -> io::Result<()> {
    const CURRENT_FOLDER: usize = libc::AT_FDCWD as usize;
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    // By the kernel's own call: glibc has a function for it since 2.28 only.
    // SAFETY: zero-terminated paths.
    let renamed = unsafe {
        system_call(
            libc::SYS_renameat2,
            [
                CURRENT_FOLDER,
                from,
                CURRENT_FOLDER,
                to,
                libc::RENAME_NOREPLACE as usize,
                0,
            ],
        )
    };
    renamed.map(drop).map_err(|number| {
        let error = io::Error::from_raw_os_error(number);
        match number {
            libc::EINVAL | libc::ENOSYS => io::Error::new(io::ErrorKind::Unsupported, error),
            _ => error,
        }
    })
}
