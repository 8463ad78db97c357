//! Two clocks: a cheap one for the age of a block, the wall clock for the profile.

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec; both clocks exist on every Linux that Go supports, so errno stays untouched.
    unsafe { libc::clock_gettime(clock, &mut now) };
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}

/// Nanoseconds of a clock that never goes back, to a few milliseconds: read without a system call. Context: hook.
pub fn monotonic_coarse_nanos() -> u64 {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds since the epoch. Context: outside hooks.
pub fn wall_nanos() -> i64 {
    read(libc::CLOCK_REALTIME) as i64
}
