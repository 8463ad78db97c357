//! The stack of the calling thread, from the hook's caller to where the thread or the goroutine began.
//!
//! ```text
//!   C frames (cfi) --boundary--> Go frames (go) --callback--> C frames (cfi) --boundary--> Go frames ...
//! ```
//!
//! Nothing here allocates, takes a lock, or reads memory that isn't known to be there ([`stack_memory`]). A stack that
//! can't be followed to its beginning is kept as far as it goes, with the reason.

pub mod cfi;
pub mod go;
pub mod scratch;
pub mod stack_memory;

use crate::sys::registers::Registers;
use crate::sys::thread::ThreadState;
use crate::tables::frame::{End, Frame, ObjectId};
use crate::tables::objects;
use stack_memory::StackMemory;

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

/// Walks the stack that begins with the return address `start.ip` and says why it ends. Context: hook.
pub fn capture(start: Registers, thread: &mut ThreadState, out: &mut StackBuffer) -> End {
    let mut memory = StackMemory::new(start.sp, thread);
    let end = walk(start, &mut memory, thread, out);
    memory.remember(end == End::TooDeep, thread);
    end
}

fn walk(start: Registers, memory: &mut StackMemory, thread: &ThreadState, out: &mut StackBuffer) -> End {
    let mut registers = start;
    let mut signals = 0;
    // The object of the previous frame. Its code is on our stack, so it stays loaded: no need to ask again.
    let mut object: Option<&'static objects::Entry> = None;
    loop {
        let ip = registers.ip;
        if ip == 0 {
            return End::Complete;
        }
        match go::crossing_at(ip) {
            go::Crossing::Boundary => match go::walk(registers.sp, memory, out) {
                go::GoWalk::End(end) => return end,
                go::GoWalk::CalledFromC(caller) => {
                    registers = caller;
                    continue;
                }
            },
            go::Crossing::SystemStack => return End::GoSystemStack,
            go::Crossing::None => {}
        }
        if !object.is_some_and(|object| (object.map_start..object.map_end).contains(&ip)) {
            object = objects::find(ip.wrapping_sub(1));
        }
        let frame = Frame::new(ip, object.map_or(ObjectId::UNKNOWN, |entry| entry.id));
        if !out.push(frame) {
            return End::TooDeep;
        }
        let below = registers.sp;
        let step = match object {
            Some(entry) => cfi::step(&mut registers, frame, entry, memory),
            None if objects::is_held(frame.call_address()) => cfi::step_unnumbered(&mut registers, frame, memory),
            // An address of no object: JIT code, or a wild one. Kept, since it may be the JIT's.
            None => return End::NoUnwindInfo,
        };
        match step {
            Ok(()) => {
                // Only a signal frame leads down, or over a hole: a handler on a stack of its own interrupted another.
                // (Bounded, since two broken frames could lead to each other.)
                if registers.sp <= below || !memory.reaches(registers.sp) {
                    signals += 1;
                    if signals > MAX_SIGNALS || !memory.move_to(registers.sp, thread) {
                        return End::UnreadableStack;
                    }
                }
            }
            Err(End::NoUnwindInfo) if object.is_some_and(|entry| go::is_copied_boundary(ip, entry)) => {
                out.pop(); // asmcgocall itself is not shown
                match go::walk(registers.sp, memory, out) {
                    go::GoWalk::End(end) => return end,
                    go::GoWalk::CalledFromC(caller) => registers = caller,
                }
            }
            Err(end) => return end,
        }
    }
}

/// What one call from Go to C finds out about its own stack, for Go to check. See [`go`].
///
/// # Errors
/// [`End::NoUnwindInfo`] when C code has no unwind tables at all; another [`End`] when they lead nowhere.
pub fn probe(start: Registers, thread: &ThreadState, pcs: &mut [u64]) -> Result<Probe, End> {
    let mut memory = StackMemory::new(start.sp, thread);
    let mut registers = start;
    for _ in 0..16 {
        let entry = objects::find(registers.ip.wrapping_sub(1)).ok_or(End::BadGoStack)?;
        // A static program that has found none. What follows would take C's stack for Go's.
        if entry.unwind_header.is_empty() {
            return Err(End::NoUnwindInfo);
        }
        let frame = Frame::new(registers.ip, entry.id);
        match cfi::step(&mut registers, frame, entry, &mut memory) {
            Ok(()) => {}
            // The first address without a table is where Go called us, or the check that follows will fail.
            Err(End::NoUnwindInfo) => {
                let mut found = Probe {
                    boundary: registers.ip,
                    callback: 0,
                    length: 0,
                };
                let length = &mut found.length;
                go::follow(registers.sp, &mut memory, &mut found.callback, |address| {
                    if let Some(slot) = pcs.get_mut(*length) {
                        *slot = address;
                        *length += 1;
                    }
                    true
                })?;
                return Ok(found);
            }
            Err(end) => return Err(end),
        }
    }
    Err(End::BadGoStack)
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
