//! How Go lays out what its assembly leaves on a stack where it meets C (runtime/asm_arm64.s, runtime/cgo/asm_arm64.s). Where things
//! are is measured when the program starts, by the two calls of [`crate::unwind::probe`]: each place that is possible is tried, and the
//! one is taken from which the stack can be followed to its end.
//!
//! `runtime.asmcgocall` switches to the system stack, keeps two words there, and calls C. In Go 1.26:
//!
//! ```text
//!   system stack                                   goroutine stack
//!   |  ...                      |                  hi ------------------------------
//!   |  depth                    |  sp + 8   g ->     |  ...                         |
//!   |  g                        |  sp                |  return address into cgocall |  hi - depth
//!   |  frames of C, the first   |                    |  frame pointer of cgocall    |  hi - depth - 8
//!   |  returns to "boundary"    |                  lo ------------------------------
//! ```
//!
//! A callback from C comes in through `crosscall2`, whose frame lies on the system stack above the boundary's record:
//!
//! ```text
//!   |  frame of C                 |  r1 + 248    <- the C walk goes on here
//!   |  return address into C      |  r1 + 240
//!   |  frame pointer of C         |  r1 + 232
//!   |  ...                        |
//!   |  return into crosscall2     |  r1 + 8      <- "callback"
//!   |  (overwritten)              |  r1          <- the goroutine's last frame pointer
//!   |  g, depth, boundary ...     |
//! ```
//!
//! The word at r1, where `cgocallback` keeps a frame pointer, lies below the stack pointer that it leaves to the next `asmcgocall`, whose
//! record takes its place.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::registers::{self, Registers};

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

/// How many places there may be for the first frame record, a word apart.
const PLACES: u64 = 4;
/// Which of [`Record::candidates`] it is, plus 1; 0: not measured. Atomic, because threads read it that exist when it is measured; nothing
/// else has to be seen with it.
static RECORD: AtomicU64 = AtomicU64::new(0);

impl Record {
    /// What may be; Go 1.26's first.
    pub fn candidates() -> impl Iterator<Item = Record> {
        (0..2 * PLACES).map(Record::number)
    }

    const fn number(number: u64) -> Record {
        let g_at = 8 * (number / PLACES);
        Record {
            depth_at: 8 - g_at,
            g_at,
            first_record_below: 8 * ((number + 1) % PLACES),
        }
    }

    /// What was measured.
    #[inline]
    pub fn measured() -> Record {
        Record::number(RECORD.load(Relaxed).wrapping_sub(1) % (2 * PLACES))
    }

    /// It is so.
    pub fn learn(self) {
        let number = Record::candidates().position(|candidate| candidate == self);
        RECORD.store(number.map_or(0, |number| number as u64 + 1), Relaxed);
    }
}

/// Where crosscall2 has saved the frame pointer and the link register of C, from the record of cgocallback, and where C's frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crosscall2 {
    saved_at: u32,
    frame_at: u32,
}

/// Both, the second in the upper half; 0: not measured. Atomic, as above.
static CROSSCALL2: AtomicU64 = AtomicU64::new(0);

impl Crosscall2 {
    /// What may be, what is likely first: crosscall2 saves 20 registers, and whatever else Go may think of.
    pub fn candidates() -> impl Iterator<Item = Crosscall2> {
        let above = |above: u32| {
            (2..96u32).map(move |word| Crosscall2 {
                saved_at: 8 * word,
                frame_at: 8 * word + above,
            })
        };
        (16..512).step_by(16).flat_map(above)
    }

    /// What was measured, if it was.
    #[inline]
    pub fn measured() -> Option<Crosscall2> {
        let both = CROSSCALL2.load(Relaxed);
        (both != 0).then_some(Crosscall2 {
            saved_at: both as u32,
            frame_at: (both >> 32) as u32,
        })
    }

    /// It is so.
    pub fn learn(self) {
        CROSSCALL2.store(u64::from(self.saved_at) | u64::from(self.frame_at) << 32, Relaxed);
    }

    /// The registers of the C code that called Go, from the record at `record` (`r1` in the drawing), by reading words of the
    /// system stack with `read`. `None` when it can't be read or makes no sense. Context: hook.
    pub fn caller(self, record: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
        let saved = record.wrapping_add(u64::from(self.saved_at));
        let bp = read(saved)?;
        let ip = registers::return_address(read(saved.wrapping_add(8))?);
        let sp = record.wrapping_add(u64::from(self.frame_at));
        (ip != 0).then_some(Registers::new(ip, sp, bp))
    }
}

/// Where the return address lies in a frame record.
pub const RETURN_ADDRESS_IN_RECORD: u64 = 8;

/// asmcgocall's other call instruction, for callers already on a system stack, follows within this many bytes.
pub const ASMCGOCALL_BYTES: u64 = 256;
/// asmcgocall's code that writes the record begins so many bytes before the address that C returns to ...
pub const RECORD_CODE: u64 = 20;
/// ... and is followed by a call, of which so much differs: none, it is one by a register.
pub const CALL_DISTANCE: u64 = 0;
/// crosscall2's code after its call: it restores the registers from where [`Crosscall2::caller`] reads two of them.
pub const RESTORE_CODE: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_what_is_read() {
        for candidate in Record::candidates() {
            candidate.learn();
            assert_eq!(Record::measured(), candidate);
        }
        let go_1_26 = Record {
            depth_at: 8,
            g_at: 0,
            first_record_below: 8,
        };
        assert_eq!(Record::candidates().next(), Some(go_1_26));

        let candidate = Crosscall2::candidates()
            .find(|candidate| candidate.saved_at == 232)
            .unwrap();
        assert_eq!(candidate.frame_at, 248);
        assert_eq!(Crosscall2::measured(), None);
        candidate.learn();
        assert_eq!(Crosscall2::measured(), Some(candidate));
        CROSSCALL2.store(0, Relaxed);
        RECORD.store(0, Relaxed);
        let words = |address: u64| (1000..1400).contains(&address).then_some(address | 7 << 56);
        assert_eq!(
            candidate.caller(1000, words),
            Some(Registers::new(1240, 1248, 1232 | 7 << 56))
        );
        assert_eq!(candidate.caller(1300, words), None);
    }
}
