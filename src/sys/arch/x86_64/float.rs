//! The floating-point environment belongs to the program, like errno: rounding mode, trapped exceptions, exception flags.
//!
//! libc's malloc computes with integers only. Ours draws a logarithm for each sample; a program that traps inexact results
//! must not get a SIGFPE for it, nor find a flag set that its own arithmetic did not set.

use core::arch::asm;

/// All exceptions masked, none raised, round to nearest: the state at the start of every program (System V ABI).
static DEFAULT_MXCSR: u32 = 0x1f80;
/// The bits that say which exceptions were raised; all others choose how to compute.
const RAISED: u32 = 0x3f;

/// Computes in the default environment until dropped. Context: hook.
///
/// Writing the register waits for all computing under way, so it is written only when it differs from what it should be:
/// as a rule it never does, since a program that has ever computed with fractions has the "inexact" flag set already.
pub struct FloatGuard(u32);

impl FloatGuard {
    /// Remembers the program's environment and sets the default.
    pub fn enter() -> FloatGuard {
        let saved = read();
        if saved & !RAISED != DEFAULT_MXCSR {
            write(&DEFAULT_MXCSR);
        }
        FloatGuard(saved)
    }
}

impl Drop for FloatGuard {
    fn drop(&mut self) {
        if read() != self.0 {
            write(&self.0);
        }
    }
}

fn read() -> u32 {
    let mut value = 0u32;
    // SAFETY: stores the SSE control register of this thread.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    value
}

fn write(value: &u32) {
    // SAFETY: loads the SSE control register of this thread with the default or with what the program had; rustc's code
    // doesn't depend on it while the values are the default's.
    unsafe { asm!("ldmxcsr [{}]", in(reg) core::ptr::from_ref(value), options(nostack, preserves_flags)) };
}
