//! A system call, without libc: a hook must not run what a preloaded library may have put in the place of libc's function,
//! and must not be a cancellation point, as poll and write are.

use core::ffi::{CStr, c_long};

/// What the kernel's shared object (vdso(7)) calls its `clock_gettime`.
pub const VDSO_CLOCK_GETTIME: &CStr = c"__kernel_clock_gettime";

/// Makes the system call `number` (`libc::SYS_...`). Unused arguments are 0. Leaves errno alone. Context: hook.
///
/// # Errors
/// The number that libc would put into errno.
///
/// # Safety
/// As the system call with these arguments.
#[inline]
pub unsafe fn system_call(number: c_long, arguments: [usize; 6]) -> Result<usize, i32> {
    const MOST_ERRORS: usize = 4095; // MAX_ERRNO of the kernel
    let [a, b, c, d, e, f] = arguments;
    let result: usize;
    // SAFETY: what the call does is the caller's to answer for; beside x0 the kernel changes no register.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            in("x5") f,
            options(nostack),
        );
    }
    match result.wrapping_neg() {
        error @ 1..=MOST_ERRORS => Err(error as i32),
        _ => Ok(result),
    }
}
