//! May memory be read? By the kernel's word, without reading it.
//!
//! `rt_sigprocmask` with an impossible first argument copies the new mask from user memory first (EFAULT when it can't) and
//! then fails with EINVAL, changing nothing. It is a known way of asking.

use crate::sys::arch::system_call::system_call;

/// Whether the page at `address` can be read. A system call. Where that is refused for another reason (a sandbox, a kernel that
/// looks at the first argument first) nothing is known, so the page counts as unreadable. Context: hook.
pub fn page_is_readable(address: u64) -> bool {
    const NO_SUCH_HOW: usize = usize::MAX;
    const KERNEL_SIGSET_BYTES: usize = 8;
    const NO_OLD_SET: usize = 0;
    // SAFETY: the kernel copies eight bytes from `address` if it can, then refuses `how`; nothing is written anywhere.
    let answer = unsafe {
        system_call(
            libc::SYS_rt_sigprocmask,
            [NO_SUCH_HOW, address as usize, NO_OLD_SET, KERNEL_SIGSET_BYTES, 0, 0],
        )
    };
    answer == Err(libc::EINVAL)
}
