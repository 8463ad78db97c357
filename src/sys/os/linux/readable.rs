//! May memory be read? By the kernel's word, without reading it.
//!
//! `rt_sigprocmask` with an impossible first argument copies the new mask from user memory first (EFAULT when it can't) and
//! then fails with EINVAL, changing nothing. It is a known way of asking.

use crate::sys::errno::{self, ErrnoGuard};

/// Whether the page at `address` can be read. A system call. Context: hook.
pub fn page_is_readable(address: u64) -> bool {
    const NO_SUCH_HOW: libc::c_long = -1;
    const KERNEL_SIGSET_BYTES: usize = 8;
    let _errno = ErrnoGuard::save();
    let no_old_set: *const u8 = core::ptr::null();
    // SAFETY: the kernel copies eight bytes from `address` if it can, then refuses `how`; nothing is written anywhere.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            NO_SUCH_HOW,
            address,
            no_old_set,
            KERNEL_SIGSET_BYTES,
        )
    };
    errno::get() != libc::EFAULT
}
