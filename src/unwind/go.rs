//! From C into the goroutine that called it, without calling Go.
//!
//! When Go calls C, `runtime.asmcgocall` switches from the goroutine's stack to the thread's own ("system") stack. The
//! unwind tables end there. What it leaves behind (runtime/asm_amd64.s):
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
//! `g` begins with the bounds `lo` and `hi` of its stack. `hi - depth` was the goroutine's stack pointer at the call, and
//! at the same time points to its first frame record: [saved frame pointer][return address]. From there frame pointers
//! lead to `runtime.goexit`; each is checked against `lo` and `hi`, so nothing outside a stack that is ours is read. The
//! goroutine can't move or shrink its stack while it is in C. The frame pointer *register* is not used: C may have put
//! anything there, and after a callback it may point into a stack that has been moved.
//!
//! Go called from C (a callback) shows as a frame pointer that leaves the goroutine's stack, in `runtime.cgocallback`,
//! whose record lies on the system stack above the boundary, and leads to that of `crosscall2`:
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
//!
//! A plugin (-buildmode=plugin) shares the runtime's data, but brings its own copy of the runtime's code; so does a second
//! Go runtime in the process. The copy is known by its bytes: where they are those that write the record above, the record
//! is there.
//!
//! None of this is a promise of Go's. So it is put to the test at start: one call from Go to C looks at its own stack,
//! Go names the addresses found, and only if all are right the two addresses become known here.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use super::StackBuffer;
use super::stack_memory::StackMemory;
use crate::sys::registers::Registers;
use crate::tables::frame::{End, Frame};
use crate::tables::objects::{self, Entry};

/// Whether Go frames are joined to C stacks, and if not, why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum GoFrames {
    /// No Go side has asked for it (a C or Rust program, or the Go package isn't initialised yet).
    #[default]
    NotAsked = 0,
    /// The check at start passed: stacks run from C through the goroutine to `runtime.goexit`.
    Joined = 1,
    /// The check at start failed; the Go side knows what was wrong (`GoFramesProblem`). C frames only.
    CheckFailed = 2,
}

/// The return address into `runtime.asmcgocall`; 0 while Go frames are off.
static BOUNDARY: AtomicU64 = AtomicU64::new(0);
/// The return address into `crosscall2`; 0 when unknown.
static CALLBACK: AtomicU64 = AtomicU64::new(0);
static STATE: AtomicU32 = AtomicU32::new(GoFrames::NotAsked as u32);

/// asmcgocall's other call instruction, for callers already on a system stack, follows within this many bytes.
const ASMCGOCALL_BYTES: u64 = 256;
/// asmcgocall's code that writes the record begins so many bytes before the address that C returns to ...
const RECORD_CODE: u64 = 29;
/// ... and is followed by a call, whose distance differs.
const CALL_DISTANCE: u64 = 4;
/// crosscall2's code after its call: it restores the registers from where [`follow`] reads one of them.
const RESTORE_CODE: u64 = 32;
/// No goroutine's stack is larger (runtime.SetMaxStack's default is 1 GB).
const LARGEST_STACK: u64 = 1 << 36;

/// Follows stacks into Go from now on.
pub fn join(boundary: u64, callback: u64) {
    CALLBACK.store(callback, Relaxed);
    BOUNDARY.store(boundary, Release);
    STATE.store(GoFrames::Joined as u32, Relaxed);
}

/// The check failed: never follow.
pub fn refuse() {
    BOUNDARY.store(0, Relaxed);
    STATE.store(GoFrames::CheckFailed as u32, Relaxed);
}

/// Whether Go frames are joined, as the number of a [`GoFrames`].
pub fn state() -> u32 {
    STATE.load(Relaxed)
}

/// What a return address without unwind table is to us.
pub enum Seam {
    /// Go called C here, from a goroutine.
    Boundary,
    /// Go called C here, from a system stack.
    SystemStack,
    /// Nothing that we know.
    None,
}

/// Context: hook.
#[inline]
pub fn seam_at(ip: u64) -> Seam {
    let boundary = BOUNDARY.load(Acquire);
    if ip == boundary && boundary != 0 {
        Seam::Boundary
    } else if boundary != 0 && ip > boundary && ip - boundary < ASMCGOCALL_BYTES {
        Seam::SystemStack
    } else {
        Seam::None
    }
}

/// Whether `ip`, in `object` on our stack, is the boundary in another copy of the runtime. Context: hook.
#[cold]
pub fn is_copied_boundary(ip: u64, object: &Entry) -> bool {
    let boundary = BOUNDARY.load(Acquire);
    let (known, start) = (boundary.wrapping_sub(RECORD_CODE), ip.wrapping_sub(RECORD_CODE));
    boundary != 0 && is_copy(known, start, RECORD_CODE - CALL_DISTANCE, object)
}

/// The same for the return address into crosscall2.
#[cold]
fn is_copied_callback(ip: u64, callback: u64) -> bool {
    callback != 0 && objects::find(ip).is_some_and(|object| is_copy(callback, ip, RESTORE_CODE, object))
}

/// Whether `object`'s code at `start` is, byte for byte, the known code at `known`.
fn is_copy(known: u64, start: u64, length: u64, object: &Entry) -> bool {
    // SAFETY: the known code is in the program or in a library that stays; the other lies in the executable segment of an
    // object whose code is on our stack, so that it is loaded. Code can be read on linux/amd64.
    object.has_code(start..start.saturating_add(length))
        && unsafe {
            core::slice::from_raw_parts(start as *const u8, length as usize)
                == core::slice::from_raw_parts(known as *const u8, length as usize)
        }
}

/// How a walk along a goroutine ended.
pub enum GoWalk {
    /// At the goroutine's first function, or for the reason given.
    End(End),
    /// At a callback: C called this Go code, and its stack goes on from these registers.
    CalledFromC(Registers),
}

/// Adds the frames of the goroutine whose boundary record lies at `sp`. Context: hook.
pub fn walk(sp: u64, memory: &mut StackMemory, out: &mut StackBuffer) -> GoWalk {
    let mut callback = CALLBACK.load(Relaxed);
    match follow(sp, memory, &mut callback, |address| out.push(Frame::go(address))) {
        Ok(walk) => walk,
        Err(end) => GoWalk::End(end),
    }
}

/// The walk itself, with the two things that differ between a sample and the check at start: where the addresses go, and
/// whether `callback` is known (compared) or 0 (learnt).
pub fn follow(
    sp: u64,
    memory: &mut StackMemory,
    callback: &mut u64,
    mut push: impl FnMut(u64) -> bool,
) -> Result<GoWalk, End> {
    const BAD: End = End::BadGoStack;
    let depth = memory.read(sp).ok_or(BAD)?;
    let g = memory.read(sp.wrapping_add(8)).ok_or(BAD)?;
    if g == 0 || g & 7 != 0 {
        return Err(BAD);
    }
    // SAFETY: at the boundary this slot holds the running goroutine's g, which Go never frees; it begins with lo and hi,
    // which don't change while the goroutine is in C.
    let (low, high) = unsafe { ((g as *const u64).read(), (g as *const u64).add(1).read()) };
    if low >= high || high - low > LARGEST_STACK || depth > high - low || (low | high | depth) & 7 != 0 {
        return Err(BAD);
    }
    let mut record = high - depth;
    loop {
        if record < low || record > high - 16 {
            return Err(BAD);
        }
        // SAFETY: both words lie inside the goroutine's stack, which is mapped and stays while it is in C.
        let (next, address) = unsafe { ((record as *const u64).read(), (record as *const u64).add(1).read()) };
        if address == 0 {
            return Ok(GoWalk::End(End::Complete));
        }
        if !push(address) {
            return Err(End::TooDeep);
        }
        if next == 0 {
            return Ok(GoWalk::End(End::Complete));
        }
        if next > record && next <= high - 16 && next & 7 == 0 {
            record = next;
            continue;
        }
        // The frame pointer leaves the goroutine's stack: a callback, or nothing that we can follow.
        if next <= sp {
            return Err(BAD);
        }
        let into_crosscall2 = memory.read(next.wrapping_add(8)).ok_or(BAD)?;
        if *callback == 0 {
            *callback = into_crosscall2;
        }
        if into_crosscall2 != *callback && !is_copied_callback(into_crosscall2, *callback) {
            return Err(BAD);
        }
        let mut crosscall2 = memory.read(next).filter(|above| *above > next).ok_or(BAD)?;
        // crosscall2 saves the frame pointer in its prologue and again with the other registers, right below: a record
        // that leads to the next word is the second of the two.
        if memory.read(crosscall2) == Some(crosscall2.wrapping_add(8)) {
            crosscall2 = crosscall2.wrapping_add(8);
        }
        let bp = memory.read(crosscall2).ok_or(BAD)?;
        let ip = memory.read(crosscall2.wrapping_add(8)).ok_or(BAD)?;
        return Ok(GoWalk::CalledFromC(Registers {
            ip,
            sp: crosscall2.wrapping_add(16),
            bp,
        }));
    }
}
