//! The floating-point environment belongs to the program, like errno: rounding mode, trapped exceptions, exception flags.
//!
//! libc's malloc computes with integers only. Ours draws a logarithm for each sample; a program that traps inexact results
//! must not get a SIGFPE for it, nor find a flag set that its own arithmetic did not set.

use core::arch::asm;

/// All exceptions masked, none raised, round to nearest: the state at the start of every program (System V ABI).
static DEFAULT_MXCSR: u32 = 0x1f80;

/// Computes in the default environment until dropped. Context: hook.
pub struct FloatGuard(u32);

impl FloatGuard {
    /// Remembers the program's environment and sets the default.
    pub fn enter() -> FloatGuard {
        let mut saved = 0u32;
        // SAFETY: stores and loads the SSE control register of this thread; rustc's code doesn't depend on it while the
        // values are the default's, and they are put back before the program goes on.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut saved, options(nostack, preserves_flags));
            asm!("ldmxcsr [{}]", in(reg) &raw const DEFAULT_MXCSR, options(nostack, preserves_flags));
        }
        FloatGuard(saved)
    }
}

impl Drop for FloatGuard {
    fn drop(&mut self) {
        // SAFETY: as above: the program's own value.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const self.0, options(nostack, preserves_flags)) };
    }
}
