//! The stack of the calling thread, from the hook's caller to where the thread or the goroutine began.
//!
//! ```text
//!   C frames (cfi) --boundary--> Go frames (go) --callback--> C frames (cfi) --boundary--> Go frames ...
//! ```
//!
//! Through code without tables by the frame pointer ([`frame_pointer`]), which the profile marks.
//!
//! Nothing here allocates, takes a lock, or reads memory that isn't known to be there ([`stack_memory`]). A stack that
//! can't be followed to its beginning is kept as far as it goes, with the reason.

mod by_table;
mod cfi;
mod expression;
mod frame_pointer;
pub mod go;
mod row;
mod rule_cache;
pub mod scratch;
pub mod stack_memory;
mod stop;
mod tables;

use crate::sys::readable::page_is_readable;
use crate::sys::registers::{RECORD_ENDS_FRAME, Registers};
use crate::sys::signal_frame;
use crate::sys::thread::ThreadState;
use crate::tables::frame::{End, Frame, ObjectId};
use crate::tables::objects;
use stack_memory::StackMemory;
use stop::Stop;

/// Frames kept of a stack: Go's own profiles keep 128; C recursion runs deeper.
pub const MAX_FRAMES: usize = 256;

/// Handlers that interrupted each other, at most.
const MAX_SIGNALS: u32 = 4;

/// Room for one stack; hooks borrow theirs from [`crate::unwind::scratch`].
pub struct StackBuffer {
    frames: [Frame; MAX_FRAMES],
    length: usize,
}

impl Default for StackBuffer {
    fn default() -> StackBuffer {
        StackBuffer::new()
    }
}

impl StackBuffer {
    /// An empty buffer.
    pub const fn new() -> StackBuffer {
        StackBuffer {
            frames: [const { Frame::new(0, ObjectId::UNKNOWN) }; MAX_FRAMES],
            length: 0,
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Adds a frame; false when the buffer is full.
    #[inline]
    pub fn push(&mut self, frame: Frame) -> bool {
        match self.frames.get_mut(self.length) {
            Some(slot) => {
                *slot = frame;
                self.length += 1;
                true
            }
            None => false,
        }
    }

    /// Takes the last frame away.
    fn pop(&mut self) {
        self.length = self.length.saturating_sub(1);
    }

    /// The frames, leaf first.
    pub fn frames(&self) -> &[Frame] {
        self.frames.get(..self.length).unwrap_or(&[])
    }
}

/// Walks the stack that begins with the return address `first.ip` and says why it ends. `first` is used up: it is always where the C
/// frames began that are being walked, which have Go below them, or the hook. Context: hook.
pub fn capture(first: &mut Registers, thread: &mut ThreadState, out: &mut StackBuffer) -> End {
    objects::renew();
    let mut memory = StackMemory::new(first.sp, thread);
    let end = walk(first, &mut memory, thread, out);
    memory.remember(end == End::TooDeep, thread);
    end
}

fn walk(first: &mut Registers, memory: &mut StackMemory, thread: &ThreadState, out: &mut StackBuffer) -> End {
    let mut registers = *first;
    let mut signals = 0;
    let mut guess = Guess::None;
    // The object of the previous frame. Its code is on our stack, so it stays loaded: no need to ask again.
    let mut object: Option<&'static objects::Entry> = None;
    loop {
        let ip = registers.ip;
        if ip == 0 {
            return End::Complete;
        }
        match go::crossing_at(ip) {
            // Where Go's record is would be a guess too.
            go::Crossing::Boundary if guess != Guess::None && !RECORD_ENDS_FRAME => return End::NoUnwindInfo,
            go::Crossing::Boundary => {
                first.sp = registers.sp;
                match go::walk(first, memory, out) {
                    go::GoWalk::End(end) => return end,
                    go::GoWalk::CalledFromC => (registers, guess) = (*first, Guess::None),
                }
                continue;
            }
            go::Crossing::SystemStack => return End::GoSystemStack,
            go::Crossing::None => {}
        }
        if !object.is_some_and(|object| (object.map_start..object.map_end).contains(&ip)) {
            object = objects::find(ip.wrapping_sub(1));
        }
        if guess == Guess::Unchecked || guess == Guess::UncheckedAndMarked {
            if !frame_pointer::can_return_to(ip, object) {
                return End::NoUnwindInfo;
            }
            if guess == Guess::Unchecked && !out.push(Frame::BY_FRAME_POINTER) {
                return End::TooDeep;
            }
            guess = Guess::Marked;
        }
        let (frame, is_held) = match object {
            Some(entry) => (Frame::new(ip, entry.id), true),
            None => objects::frame_elsewhere(ip),
        };
        if !out.push(frame) {
            return End::TooDeep;
        }
        let below = registers.sp;
        let step = match object {
            Some(entry) => match cfi::step(&mut registers, frame, entry, memory, guess != Guess::None) {
                Err(Stop::NeedsRegisters) => {
                    by_table::replay(first, (registers.ip, registers.sp), thread).map(|caller| registers = caller)
                }
                done => done,
            },
            None if is_held => {
                let mut caller = registers; // as in cfi::step: the walk's own may stay in the processor's registers
                cfi::step_elsewhere(&mut caller, frame, memory, guess != Guess::None).map(|()| registers = caller)
            }
            // An address of no object: JIT code, or a wild one. Kept, since it may be the JIT's.
            None => Err(Stop::NoTable),
        };
        let step = match step {
            Err(Stop::NoTable) if signal_frame::is_returned_to(ip, page_is_readable) => {
                by_table::step_interrupted(&mut registers, memory)
            }
            step => step,
        };
        match step {
            Ok(()) => {
                guess = Guess::None;
                // Only a signal frame leads down, or over a hole: a handler on a stack of its own interrupted another.
                // (Bounded, since two broken frames could lead to each other.)
                if registers.sp <= below || !memory.reaches(registers.sp) {
                    signals += 1;
                    if signals > MAX_SIGNALS || !memory.move_to(registers.sp, thread) {
                        return End::UnreadableStack;
                    }
                }
            }
            Err(Stop::NoTable) if object.is_some_and(|entry| go::is_copied_boundary(ip, entry)) => {
                out.pop(); // asmcgocall itself is not shown
                first.sp = registers.sp;
                match go::walk(first, memory, out) {
                    go::GoWalk::End(end) => return end,
                    go::GoWalk::CalledFromC => registers = *first,
                }
            }
            Err(Stop::NoTable) => {
                if !frame_pointer::step(&mut registers, memory) {
                    return End::NoUnwindInfo;
                }
                guess = guess.further();
            }
            Err(Stop::NeedsRegisters) => return End::BadUnwindInfo,
            Err(Stop::At(end)) => return end,
        }
    }
}

/// How the frame was found that a walk is at, as far as steps by the frame pointer are concerned. One mark stands for several
/// such steps in a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    /// By tables.
    None,
    /// By the frame pointer; whether it is one is to be seen. In the second case the row of such steps has its mark.
    Unchecked,
    UncheckedAndMarked,
    /// By the frame pointer, and it can be one.
    Marked,
}

impl Guess {
    /// One more step by the frame pointer.
    fn further(self) -> Guess {
        match self {
            Guess::None | Guess::Unchecked => Guess::Unchecked,
            Guess::UncheckedAndMarked | Guess::Marked => Guess::UncheckedAndMarked,
        }
    }
}

/// What one call from Go to C finds out about its own stack, for Go to check. See [`go`].
///
/// # Errors
/// [`End::NoUnwindInfo`] when C code has no unwind tables at all; another [`End`] when they lead nowhere.
pub fn probe(start: Registers, thread: &ThreadState, pcs: &mut [u64]) -> Result<Probe, End> {
    objects::renew();
    let mut memory = StackMemory::new(start.sp, thread);
    let mut registers = start;
    for _ in 0..16 {
        let entry = objects::find(registers.ip.wrapping_sub(1)).ok_or(End::BadGoStack)?;
        // A static program that has found none. What follows would take C's stack for Go's.
        if entry.unwind_header.is_empty() {
            return Err(End::NoUnwindInfo);
        }
        let frame = Frame::new(registers.ip, entry.id);
        match cfi::step(&mut registers, frame, entry, &mut memory, false) {
            Ok(()) => {}
            // The first address without a table is where Go called us, or the check that follows will fail.
            Err(Stop::NoTable) => {
                let mut found = Probe {
                    boundary: registers.ip,
                    callback: 0,
                    length: 0,
                };
                go::measure(&registers, &mut memory, |registers, memory| {
                    leads_to(found.boundary, registers, memory)
                })?;
                let length = &mut found.length;
                go::follow(&mut registers, &mut memory, &mut found.callback, |address| {
                    if let Some(slot) = pcs.get_mut(*length) {
                        *slot = address;
                        *length += 1;
                    }
                    true
                })?;
                return Ok(found);
            }
            Err(Stop::At(end)) => return Err(end),
            Err(Stop::NeedsRegisters) => return Err(End::BadUnwindInfo),
        }
    }
    Err(End::BadGoStack)
}

/// Whether unwind tables lead from these registers to `boundary`.
fn leads_to(boundary: u64, mut registers: Registers, memory: &mut StackMemory) -> bool {
    for _ in 0..16 {
        if registers.ip == boundary {
            return true;
        }
        let step = objects::find(registers.ip.wrapping_sub(1)).map(|entry| {
            let frame = Frame::new(registers.ip, entry.id);
            cfi::step(&mut registers, frame, entry, memory, false)
        });
        if step != Some(Ok(())) {
            return false;
        }
    }
    false
}

/// Result of [`probe`].
pub struct Probe {
    /// Return address into what should be `runtime.asmcgocall`.
    pub boundary: u64,
    /// Return address into what should be `crosscall2`; 0 when Go was not called from C.
    pub callback: u64,
    /// How many Go return addresses were written.
    pub length: usize,
}
