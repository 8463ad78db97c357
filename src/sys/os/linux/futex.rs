//! Sleeping on a word of memory, and waking a thread that does (futex(2)), within this process.

use core::ptr::null;
use core::sync::atomic::AtomicU32;

/// Sleeps while `word` is `expected`, until it is woken or, if one is given, the time is over. It may also return without either.
/// Context: hook, but changes errno.
pub fn wait(word: &AtomicU32, expected: u32, timeout_nanos: Option<u64>) {
    let timeout = timeout_nanos.map(|nanos| libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    });
    let timeout = timeout.as_ref().map_or(null(), core::ptr::from_ref);
    // SAFETY: the word lives as long as its reference; the timeout is null or a valid timespec.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timeout,
        )
    };
}

/// Wakes one thread that sleeps on `word`. Context: hook, but changes errno.
pub fn wake(word: &AtomicU32) {
    // SAFETY: the word lives as long as its reference.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}
