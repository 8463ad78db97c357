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

/// Where asmcgocall's words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the depth lies, from the stack pointer that asmcgocall had at its call of C.
    pub depth_at: u64,
    /// Where g lies, from the same.
    pub g_at: u64,
    /// How far below `hi - depth` the goroutine's first frame record lies: [saved frame pointer][return address].
    pub first_record_below: u64,
}

impl Record {
    /// What may be: there is one layout.
    pub fn candidates() -> impl Iterator<Item = Record> {
        core::iter::once(Record::measured())
    }

    /// What is.
    #[inline(always)]
    pub const fn measured() -> Record {
        Record {
            depth_at: 0,
            g_at: 8,
            first_record_below: 0,
        }
    }

    /// Nothing is to be learnt.
    pub fn learn(self) {}
}

/// Where the return address lies in a frame record.
pub const RETURN_ADDRESS_IN_RECORD: u64 = 8;

/// asmcgocall's other call instruction, for callers already on a system stack, follows within this many bytes.
pub const ASMCGOCALL_BYTES: u64 = 256;
/// asmcgocall's code that writes the record begins so many bytes before the address that C returns to ...
pub const RECORD_CODE: u64 = 29;
/// ... and is followed by a call, whose distance differs.
pub const CALL_DISTANCE: u64 = 4;
/// crosscall2's code after its call: it restores the registers from where [`Crosscall2::caller`] reads one of them.
pub const RESTORE_CODE: u64 = 32;

/// Where crosscall2 has saved the registers of C: its frame pointers lead there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crosscall2;

/// How far below its second copy of the frame pointer crosscall2 keeps the other registers.
const PRESERVED_BELOW: u64 = 40;

impl Crosscall2 {
    /// What may be: there is one layout.
    pub fn candidates() -> impl Iterator<Item = Crosscall2> {
        core::iter::once(Crosscall2)
    }

    /// What is.
    #[inline(always)]
    pub const fn measured() -> Option<Crosscall2> {
        Some(Crosscall2)
    }

    /// Nothing is to be learnt.
    pub fn learn(self) {}

    /// The registers of the C code that called Go, from the record at `record` (`r1` in the drawing), by reading words of the
    /// system stack with `read`. `None` when it can't be read or makes no sense. Context: hook.
    pub fn caller(self, record: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
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
}
