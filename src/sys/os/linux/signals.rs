//! Holding back signals.

use crate::sys::arch::system_call::system_call;

const KERNEL_SIGSET_BYTES: usize = 8;

/// The mask of the calling thread as it was; put back when dropped.
pub struct Blocked(u64);

/// Lets no signal interrupt the calling thread until the result is dropped, but those that it brings on itself: blocked, they end the
/// process, even where the program has a handler for them, as sandboxes have for SIGSYS. `None` where the kernel refuses. Two
/// system calls in all. Context: hook.
pub fn block() -> Option<Blocked> {
    const OWN: [i32; 6] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    let all_others = !OWN.iter().fold(0u64, |set, signal| set | 1 << (signal - 1));
    let mut before = 0;
    set_mask(&all_others, &mut before).then_some(Blocked(before))
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(&self.0, &mut 0);
    }
}

fn set_mask(mask: &u64, before: &mut u64) -> bool {
    let (mask, before) = (core::ptr::from_ref(mask) as usize, core::ptr::from_mut(before) as usize);
    // SAFETY: two signal sets as the kernel has them; the thread's own mask.
    unsafe {
        system_call(
            libc::SYS_rt_sigprocmask,
            [libc::SIG_SETMASK as usize, mask, before, KERNEL_SIGSET_BYTES, 0, 0],
        )
    }
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_waits_until_it_is_let_through() {
        let is_blocked = |signal| {
            // SAFETY: a set of this thread's own.
            unsafe {
                let mut set = core::mem::zeroed();
                libc::pthread_sigmask(libc::SIG_SETMASK, core::ptr::null(), &mut set);
                libc::sigismember(&set, signal) == 1
            }
        };
        let signals = [libc::SIGURG, libc::SIGPROF, libc::SIGSEGV];
        let before = signals.map(is_blocked);
        let blocked = block().expect("the kernel lets us");
        assert_eq!(signals.map(is_blocked), [true, true, before[2]]);
        drop(blocked);
        assert_eq!(signals.map(is_blocked), before);
    }
}
