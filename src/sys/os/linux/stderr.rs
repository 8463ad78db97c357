//! Warnings.

/// Writes to stderr what it takes at once: a full pipe must not stop the program's malloc, a closed one not end the
/// program by a signal.
pub(crate) fn warn(pieces: &[&[u8]]) {
    let mut stderr = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid descriptor, no waiting.
    if unsafe { libc::poll(&mut stderr, 1, 0) } != 1 || stderr.revents != libc::POLLOUT {
        return;
    }
    for piece in pieces {
        // SAFETY: a valid buffer; stderr may be anything.
        unsafe { libc::write(libc::STDERR_FILENO, piece.as_ptr().cast(), piece.len()) };
    }
}
