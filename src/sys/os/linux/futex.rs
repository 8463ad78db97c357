//! Sleeping on a word of memory, and waking a thread that does (futex(2)), within this process.

use core::sync::atomic::AtomicU32;

use crate::sys::arch::system_call::system_call;

/// Sleeps while `word` is `expected`, until it is woken or, if one is given, the time is over. It may also return without either.
/// Context: hook.
pub fn wait(word: &AtomicU32, expected: u32, timeout_nanos: Option<u64>) {
    let timeout = timeout_nanos.map(|nanos| libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    });
    let timeout = timeout
        .as_ref()
        .map_or(0, |timeout| core::ptr::from_ref(timeout) as usize);
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: the word lives as long as its reference; the timeout is null or a valid timespec.
    let _ = unsafe {
        system_call(
            libc::SYS_futex,
            [word.as_ptr() as usize, operation, expected as usize, timeout, 0, 0],
        )
    };
}

/// Wakes one thread that sleeps on `word`. Context: hook.
pub fn wake(word: &AtomicU32) {
    let operation = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: the word lives as long as its reference.
    let _ = unsafe { system_call(libc::SYS_futex, [word.as_ptr() as usize, operation, 1, 0, 0, 0]) };
}
