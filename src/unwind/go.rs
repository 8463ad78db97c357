//! From C into the goroutine that called it, without calling Go.
//!
//! When Go calls C, `runtime.asmcgocall` switches from the goroutine's stack to the thread's own ("system") stack. The
//! unwind tables end there, at a return address that we call the *boundary*. What it leaves behind, a record with `depth` and
//! `g`, is drawn in [`go_layout`](crate::sys::go_layout).
//!
//! `g` begins with the bounds `lo` and `hi` of its stack. `hi - depth` was the goroutine's stack pointer at the call, and
//! its first frame record lies there: [saved frame pointer][return address]. From there frame pointers
//! lead to `runtime.goexit`; each is checked against `lo` and `hi`, so nothing outside a stack that is ours is read. The
//! goroutine can't move or shrink its stack while it is in C. The frame pointer *register* is not used: C may have put
//! anything there, and after a callback it may point into a stack that has been moved.
//!
//! Go called from C (a *callback*) shows as a frame pointer that leaves the goroutine's stack, in `runtime.cgocallback`,
//! whose record lies on the system stack above the boundary, and leads to that of `crosscall2`. It has saved C's registers.
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
use crate::sys::go_layout::{
    ASMCGOCALL_BYTES, CALL_DISTANCE, Crosscall2, RECORD_CODE, RESTORE_CODE, RETURN_ADDRESS_IN_RECORD, Record,
};
use crate::sys::readable::page_is_readable;
use crate::sys::registers::Registers;
use crate::sys::spare_stack;
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
pub enum Crossing {
    /// Go called C here, from a goroutine.
    Boundary,
    /// Go called C here, from a system stack.
    SystemStack,
    /// Nothing that we know.
    None,
}

/// Context: hook.
#[inline]
pub fn crossing_at(ip: u64) -> Crossing {
    let boundary = BOUNDARY.load(Acquire);
    if ip == boundary && boundary != 0 {
        Crossing::Boundary
    } else if boundary != 0 && ip > boundary && ip - boundary < ASMCGOCALL_BYTES {
        Crossing::SystemStack
    } else {
        Crossing::None
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
    // On a spare stack, since this is the deepest place of a walk.
    callback != 0
        && spare_stack::run(|| objects::find(ip).is_some_and(|object| is_copy(callback, ip, RESTORE_CODE, object)))
            .unwrap_or(false)
}

/// Whether `object`'s code at `start` is, byte for byte, the known code at `known`.
fn is_copy(known: u64, start: u64, length: u64, object: &Entry) -> bool {
    // SAFETY: the known code is in the program or in a library that stays; the other lies in the executable segment of an
    // object whose code is on our stack, so that it is loaded. Code can be read.
    object.segments.have_code(start..start.saturating_add(length))
        && unsafe {
            core::slice::from_raw_parts(start as *const u8, length as usize)
                == core::slice::from_raw_parts(known as *const u8, length as usize)
        }
}

/// How a walk along a goroutine ended.
pub enum GoWalk {
    /// At the goroutine's first function, or for the reason given.
    End(End),
    /// At a callback: C called this Go code, and its stack goes on from the registers that were handed out.
    CalledFromC,
}

/// Adds the frames of the goroutine whose boundary record lies at `registers.sp`; at a callback `registers` become those of the C
/// code below. Context: hook.
pub fn walk(registers: &mut Registers, memory: &mut StackMemory, out: &mut StackBuffer) -> GoWalk {
    let mut callback = CALLBACK.load(Relaxed);
    match follow(registers, memory, &mut callback, |address| out.push(Frame::go(address))) {
        Ok(walk) => walk,
        Err(end) => GoWalk::End(end),
    }
}

const BAD: End = End::BadGoStack;

/// Finds out where Go's assembly keeps what a walk needs, from a goroutine whose boundary record lies at `registers.sp`: of the places that
/// are possible the one is right from which its stack is followed to the end, and, if C called the goroutine, from whose registers
/// unwind tables lead on (`leads_on`). Context: outside hooks.
pub fn measure(
    registers: &Registers,
    memory: &mut StackMemory,
    mut leads_on: impl FnMut(Registers, &mut StackMemory) -> bool,
) -> Result<(), End> {
    for record in Record::candidates() {
        // It may be the depth, or anything.
        let g = memory.read(registers.sp.wrapping_add(record.g_at)).ok_or(BAD)?;
        if !page_is_readable(g) {
            continue;
        }
        match goroutine(record, registers.sp, memory, |_| true) {
            Err(_) => {}
            Ok(Outermost::Begins) => {
                record.learn();
                return Ok(());
            }
            Ok(Outermost::CalledFrom(callback)) => {
                for crosscall2 in Crosscall2::candidates() {
                    let caller = crosscall2.caller(callback, |address| memory.read(address));
                    if caller.is_some_and(|caller| leads_on(caller, memory)) {
                        record.learn();
                        crosscall2.learn();
                        return Ok(());
                    }
                }
            }
        }
    }
    Err(BAD)
}

/// The walk itself, with the two things that differ between a sample and the check at start: where the addresses go, and
/// whether `callback` is known (compared) or 0 (learnt).
pub fn follow(
    registers: &mut Registers,
    memory: &mut StackMemory,
    callback: &mut u64,
    push: impl FnMut(u64) -> bool,
) -> Result<GoWalk, End> {
    let next = match goroutine(Record::measured(), registers.sp, memory, push)? {
        Outermost::Begins => return Ok(GoWalk::End(End::Complete)),
        Outermost::CalledFrom(record) => record,
    };
    let into_crosscall2 = memory.read(next.wrapping_add(RETURN_ADDRESS_IN_RECORD)).ok_or(BAD)?;
    if *callback == 0 {
        *callback = into_crosscall2;
    }
    if into_crosscall2 != *callback && !is_copied_callback(into_crosscall2, *callback) {
        return Err(BAD);
    }
    let crosscall2 = Crosscall2::measured().ok_or(BAD)?;
    *registers = crosscall2.caller(next, |address| memory.read(address)).ok_or(BAD)?;
    Ok(GoWalk::CalledFromC)
}

/// Where a goroutine's frames end.
enum Outermost {
    /// At its first function.
    Begins,
    /// At `runtime.cgocallback`, whose frame record, on the system stack, lies there.
    CalledFrom(u64),
}

/// The return addresses of one goroutine, innermost first, by asmcgocall's record at `sp`.
#[inline(always)]
fn goroutine(
    layout: Record,
    sp: u64,
    memory: &mut StackMemory,
    mut push: impl FnMut(u64) -> bool,
) -> Result<Outermost, End> {
    let depth = memory.read(sp.wrapping_add(layout.depth_at)).ok_or(BAD)?;
    let g = memory.read(sp.wrapping_add(layout.g_at)).ok_or(BAD)?;
    if g == 0 || g & 7 != 0 {
        return Err(BAD);
    }
    // SAFETY: at the boundary this slot holds the running goroutine's g, which Go never frees; it begins with lo and hi,
    // which don't change while the goroutine is in C. (While it is measured whether it does, it can be read.)
    let (low, high) = unsafe { ((g as *const u64).read(), (g as *const u64).add(1).read()) };
    if low >= high || high - low > LARGEST_STACK || depth > high - low || (low | high | depth) & 7 != 0 {
        return Err(BAD);
    }
    let mut record = (high - depth).wrapping_sub(layout.first_record_below);
    loop {
        if record < low || record > high - 16 {
            return Err(BAD);
        }
        // SAFETY: both words lie inside the goroutine's stack, which is mapped and stays while it is in C.
        let (next, address) = unsafe { ((record as *const u64).read(), (record as *const u64).add(1).read()) };
        if address == 0 {
            return Ok(Outermost::Begins);
        }
        if !push(address) {
            return Err(End::TooDeep);
        }
        if next == 0 {
            return Ok(Outermost::Begins);
        }
        if next > record && next <= high - 16 && next & 7 == 0 {
            record = next;
            continue;
        }
        // The frame pointer leaves the goroutine's stack: a callback, or nothing that we can follow.
        return if next > sp {
            Ok(Outermost::CalledFrom(next))
        } else {
            Err(BAD)
        };
    }
}
