//! How Go lays out what its assembly leaves on a stack where it meets C (runtime/asm_amd64.s, runtime/cgo/asm_amd64.s).
//!
//! `runtime.asmcgocall` switches to the system stack, keeps two words there, and calls C:
//!
//! ```text
//!   system stack                                   goroutine stack
//!   |  ...                      |                  hi ------------------------------
//!   |  g                        |  sp + 8   g ->     |  ...                         |
//!   |  depth                    |  sp               |  return address into cgocall  |
//!   |  return into asmcgocall   |  <- "boundary"    |  frame pointer of cgocall     |  hi - depth
//!   |  frames of C              |                  lo ------------------------------
//! ```
//!
//! A callback from C comes in through `crosscall2`, whose frame lies on the system stack above the boundary's record:
//!
//! ```text
//!   |  return address into C      |  r2 + 8      <- the C walk goes on here, stack pointer r2 + 16
//!   |  frame pointer of C         |  r2
//!   |  ...                        |
//!   |  return into crosscall2     |  r1 + 8      <- "callback"
//!   |  r2                         |  r1          <- the goroutine's last frame pointer
//!   |  ...                        |
//!   |  g, depth, boundary ...     |
//! ```

use super::registers::Registers;

/// Where the depth lies, from the stack pointer that asmcgocall had at its call of C.
pub const DEPTH_AT: u64 = 0;
/// Where g lies, from the same.
pub const G_AT: u64 = 8;
/// How far below `hi - depth` the goroutine's first frame record lies: [saved frame pointer][return address].
pub const FIRST_RECORD_BELOW: u64 = 0;
/// Where the return address lies in a frame record.
pub const RETURN_ADDRESS_IN_RECORD: u64 = 8;

/// asmcgocall's other call instruction, for callers already on a system stack, follows within this many bytes.
pub const ASMCGOCALL_BYTES: u64 = 256;
/// asmcgocall's code that writes the record begins so many bytes before the address that C returns to ...
pub const RECORD_CODE: u64 = 29;
/// ... and is followed by a call, whose distance differs.
pub const CALL_DISTANCE: u64 = 4;
/// crosscall2's code after its call: it restores the registers from where [`caller_of_crosscall2`] reads one of them.
pub const RESTORE_CODE: u64 = 32;

/// How far below its second copy of the frame pointer crosscall2 keeps the other registers.
const PRESERVED_BELOW: u64 = 40;

/// The registers of the C code that called Go, from the record at `record` (`r1` in the drawing), by reading words of the
/// system stack with `read`. `None` when it can't be read or makes no sense. Context: hook.
pub fn caller_of_crosscall2(record: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
    let mut crosscall2 = read(record).filter(|above| *above > record)?;
    let mut preserved = core::ptr::null();
    // crosscall2 saves the frame pointer in its prologue and again with the other registers, right below: a record that
    // leads to the next word is the second of the two. Below that lie rbx, r12, r13, r14, r15.
    if read(crosscall2) == Some(crosscall2.wrapping_add(8)) {
        let others = crosscall2.wrapping_sub(PRESERVED_BELOW);
        if others > record && read(others).is_some() {
            preserved = others as *const [u64; 5];
        }
        crosscall2 = crosscall2.wrapping_add(8);
    }
    let bp = read(crosscall2)?;
    let ip = read(crosscall2.wrapping_add(8))?;
    Some(Registers {
        ip,
        sp: crosscall2.wrapping_add(16),
        bp,
        preserved,
    })
}
