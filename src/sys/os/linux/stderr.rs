//! Warnings.

use crate::sys::arch::system_call::system_call;

/// Writes to stderr what it takes at once: a full pipe must not stop the program's malloc, a closed one not end the
/// program by a signal. By system calls, since libc's poll and write are cancellation points, which malloc is not. Context: hook.
pub(crate) fn warn(pieces: &[&[u8]]) {
    let mut stderr = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let (stderr_at, now_at) = (&raw mut stderr as usize, &raw const now as usize);
    // SAFETY: one valid descriptor, no waiting, no change of the signal mask.
    let ready = unsafe { system_call(libc::SYS_ppoll, [stderr_at, 1, now_at, 0, 0, 0]) };
    if ready != Ok(1) || stderr.revents != libc::POLLOUT {
        return;
    }
    for piece in pieces {
        let (descriptor, start) = (libc::STDERR_FILENO as usize, piece.as_ptr() as usize);
        // SAFETY: a valid buffer; stderr may be anything.
        let _ = unsafe { system_call(libc::SYS_write, [descriptor, start, piece.len(), 0, 0, 0]) };
    }
}
