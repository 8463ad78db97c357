//! The floating-point environment belongs to the program, like errno: rounding mode, trapped exceptions, exception flags.
//!
//! libc's malloc computes with integers only. Ours draws a logarithm for each sample; a program that traps inexact results
//! must not get a SIGFPE for it, nor find a flag set that its own arithmetic did not set.

use core::arch::asm;

/// Round to nearest, no exception trapped, denormal numbers as they are: FPCR at the start of every program (AAPCS64).
const DEFAULT_FPCR: u64 = 0;

/// Computes in the default environment until dropped. Context: hook.
///
/// Writing FPCR waits for all computing under way, so it is written only when it differs from what it should be.
pub struct FloatGuard {
    /// How to compute.
    fpcr: u64,
    /// Which exceptions were raised.
    fpsr: u64,
}

impl FloatGuard {
    /// Remembers the program's environment and sets the default.
    pub fn enter() -> FloatGuard {
        let (fpcr, fpsr): (u64, u64);
        // SAFETY: reads two registers of this thread. (Not "nomem" or "pure": they are read before anything is computed.)
        unsafe {
            asm!("mrs {}, fpcr", "mrs {}, fpsr", out(reg) fpcr, out(reg) fpsr, options(nostack, preserves_flags))
        };
        if fpcr != DEFAULT_FPCR {
            write_fpcr(DEFAULT_FPCR);
        }
        FloatGuard { fpcr, fpsr }
    }
}

impl Drop for FloatGuard {
    fn drop(&mut self) {
        if self.fpcr != DEFAULT_FPCR {
            write_fpcr(self.fpcr);
        }
        let fpsr: u64;
        // SAFETY: reads a register of this thread.
        unsafe { asm!("mrs {}, fpsr", out(reg) fpsr, options(nostack, preserves_flags)) };
        if fpsr != self.fpsr {
            // SAFETY: what the program had.
            unsafe { asm!("msr fpsr, {}", in(reg) self.fpsr, options(nostack, preserves_flags)) };
        }
    }
}

fn write_fpcr(value: u64) {
    // SAFETY: the default, or what the program had; rustc's code doesn't depend on it while it is the default.
    unsafe { asm!("msr fpcr, {}", in(reg) value, options(nostack, preserves_flags)) };
}
