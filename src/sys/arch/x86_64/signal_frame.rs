//! What the kernel leaves on a stack where a signal interrupts a program. Here the unwind table of what a handler returns to, libc's own
//! code, says all of it.

use super::registers::AllRegisters;

/// Whether a handler returns to `ip`, and the registers of what it interrupted have to be read by [`read`]. Context: hook.
#[inline(always)]
pub fn is_returned_to(_ip: u64, _is_readable: impl Fn(u64) -> bool) -> bool {
    false
}

/// The registers of what was interrupted. Context: hook.
pub fn read(_sp: u64, _word: impl FnMut(u64) -> Option<u64>) -> Option<AllRegisters> {
    None
}
