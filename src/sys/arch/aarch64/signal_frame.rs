//! What the kernel leaves on a stack where a signal interrupts a program. No unwind table tells of it: a handler returns to code of the
//! kernel's own shared object, or of the C library, that has none, or (before Linux 5.9) one that leaves out the function that was
//! interrupted. So the code is known by its bytes, as gcc's unwinder does it.
//!
//! ```text
//!   |  ...                                    |
//!   |  pc                                     |  sp + 568
//!   |  sp                                     |  sp + 560
//!   |  x0 ... x30                             |  sp + 312   struct sigcontext, behind the address of a fault
//!   |  flags, link, alternate stack, mask     |  sp + 128   struct ucontext
//!   |  siginfo_t                              |  sp         when the handler has returned
//! ```
//!
//! (Linux, arch/arm64/kernel/signal.c, `struct rt_sigframe`.)

use super::registers::{AllRegisters, LINK_REGISTER, PROGRAM_COUNTER, STACK_POINTER};

/// `mov x8, #139; svc #0`: the system call rt_sigreturn.
const RETURN: [u32; 2] = [0xd280_1168, 0xd400_0001];
/// Where x0 lies.
const REGISTERS_AT: u64 = 312;

/// Whether a handler returns to `ip`, and the registers of what it interrupted have to be read by [`read`]. `is_readable` says whether
/// the page of an address can be read. Context: hook.
#[inline(always)]
pub fn is_returned_to(ip: u64, is_readable: impl Fn(u64) -> bool) -> bool {
    let last = ip.saturating_add(size_of_val(&RETURN) as u64 - 1);
    // SAFETY: aligned for instructions, and both ends can be read.
    ip & 3 == 0 && is_readable(ip) && is_readable(last) && unsafe { (ip as *const [u32; 2]).read() == RETURN }
}

/// The registers of what was interrupted, whose kernel record lies at `sp`, by reading words of the stack. The program counter is that of
/// the interrupted instruction. Context: hook.
pub fn read(sp: u64, mut word: impl FnMut(u64) -> Option<u64>) -> Option<AllRegisters> {
    let mut all = AllRegisters::NONE;
    let mut at = sp.wrapping_add(REGISTERS_AT);
    for register in (0..=LINK_REGISTER).chain([STACK_POINTER, PROGRAM_COUNTER]) {
        all.put(register, Some(word(at)?));
        at = at.wrapping_add(8);
    }
    Some(all)
}
