//! Two clocks: a cheap one for the age of a block, the wall clock for the profile.

use core::ffi::c_int;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::vdso;
use crate::sys::arch::system_call::{VDSO_CLOCK_GETTIME, system_call};

/// The kernel's function that reads a clock without a system call; 0: none, or not looked for yet. Atomic, because threads that
/// constructors started may read a clock while it is set.
static FAST: AtomicUsize = AtomicUsize::new(0);

/// Runs before main, or when the library that we are part of is loaded: before, a clock is read by a system call. `AT_START` in
/// hook/entry.rs refers to it, so that a linker takes it from the archive.
#[used]
#[unsafe(link_section = ".init_array.00101")]
pub static AT_START: extern "C" fn() = find;

extern "C" fn find() {
    FAST.store(vdso::function(VDSO_CLOCK_GETTIME).unwrap_or(0), Relaxed);
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let fast = FAST.load(Relaxed);
    let is_read = fast != 0 && {
        // SAFETY: the kernel's function of that name, with this signature; 0 when it has read the clock. It never touches errno.
        unsafe {
            let function: extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int = core::mem::transmute(fast);
            function(clock, &raw mut now) == 0
        }
    };
    if !is_read {
        // SAFETY: `now` is a valid timespec; both clocks exist on every Linux that Go supports.
        let _ = unsafe {
            system_call(
                libc::SYS_clock_gettime,
                [clock as usize, &raw mut now as usize, 0, 0, 0, 0],
            )
        };
    }
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}

/// Nanoseconds of a clock that never goes back, to a few milliseconds: read without a system call. Context: hook.
pub fn monotonic_coarse_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds of the same clock, to the nanosecond. Context: hook.
pub fn monotonic_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since the epoch. Context: hook.
pub fn wall_nanos() -> i64 {
    read(libc::CLOCK_REALTIME) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_reading_and_the_standard_library_agree() {
        let wall = || {
            std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .expect("after 1970")
                .as_nanos() as i64
        };
        for fast in [FAST.load(Relaxed), 0] {
            FAST.store(fast, Relaxed); // right for other tests either way
            let before = wall();
            let read = wall_nanos();
            assert!((before..=wall()).contains(&read), "{before} {read}");
            let first = monotonic_coarse_nanos();
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(monotonic_coarse_nanos() > first);
        }
        find();
        assert_ne!(FAST.load(Relaxed), 0);
    }
}
