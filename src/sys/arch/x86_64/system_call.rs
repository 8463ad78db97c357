//! A system call, without libc: a hook must not run what a preloaded library may have put in the place of libc's function,
//! and must not be a cancellation point, as poll and write are.

use core::ffi::{CStr, c_long};

/// What the kernel's shared object (vdso(7)) calls its `clock_gettime`.
pub const VDSO_CLOCK_GETTIME: &CStr = c"__vdso_clock_gettime";

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
    // SAFETY: what the call does is the caller's to answer for; beside rax the kernel changes rcx and r11 only.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as usize => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match result.wrapping_neg() {
        error @ 1..=MOST_ERRORS => Err(error as i32),
        _ => Ok(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_errors_and_all_six_arguments_arrive() {
        let mut pipe = [0i32; 2];
        let pages = 3 << 12;
        // SAFETY: a place for two descriptors; a new mapping of the file that they are not; descriptors of our own.
        unsafe {
            assert_eq!(system_call(libc::SYS_getpid, [0; 6]), Ok(std::process::id() as usize));
            assert_eq!(
                system_call(libc::SYS_pipe2, [pipe.as_mut_ptr() as usize, 0, 0, 0, 0, 0]),
                Ok(0)
            );
            let [reader, writer] = pipe.map(|descriptor| descriptor as usize);
            assert_eq!(
                system_call(libc::SYS_write, [writer, c"six".as_ptr() as usize, 3, 0, 0, 0]),
                Ok(3)
            );
            let (anonymous, readable) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ);
            let map = |descriptor: usize, offset| {
                system_call(
                    libc::SYS_mmap,
                    [0, pages, readable as usize, anonymous as usize, descriptor, offset],
                )
            };
            assert_eq!(map(usize::MAX, 1), Err(libc::EINVAL), "the sixth");
            let start = map(usize::MAX, 0).expect("memory");
            assert_eq!(system_call(libc::SYS_munmap, [start, pages, 0, 0, 0, 0]), Ok(0));
            assert_eq!(system_call(libc::SYS_close, [reader, 0, 0, 0, 0, 0]), Ok(0));
            assert_eq!(system_call(libc::SYS_close, [reader, 0, 0, 0, 0, 0]), Err(libc::EBADF));
            assert_eq!(system_call(libc::SYS_close, [writer, 0, 0, 0, 0, 0]), Ok(0));
        }
    }
}
