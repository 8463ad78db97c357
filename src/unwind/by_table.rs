//! Steps by the unwind table itself, for what a [`super::cfi`] rule of eight bytes doesn't hold: signal frames, frames that
//! realign the stack, entries of procedure linkage tables, whatever else a table can say.
//!
//! Where a table computes from a register that walks don't follow (the trampolines of lazy binding keep the stack pointer in rbx),
//! the walk is done again up to there with all registers ([`replay`]), beginning with what the hook's entry saved of its caller.

use super::expression::{self, evaluate};
use super::row::{Cfa, Row, Saved};
use super::stack_memory::StackMemory;
use super::stop::Stop;
use super::tables::{self, Found};
use crate::sys::readable::page_is_readable;
use crate::sys::registers::{self, AllRegisters, PROGRAM_COUNTER, Registers};
use crate::sys::{signal_frame, spare_stack, thread::ThreadState};
use crate::tables::frame::{End, Frame};
use crate::tables::objects::{self, Entry};

const FRAME_POINTER: u16 = registers::FRAME_POINTER;
const STACK_POINTER: u16 = registers::STACK_POINTER;

/// What a step works with; on a spare stack, since hooks may be called on small ones.
struct Room {
    row: Row,
    /// Of the frame, and of its caller.
    all: AllRegisters,
    caller: AllRegisters,
    stack: expression::Stack,
}

impl Room {
    const EMPTY: Room = Room {
        row: Row::EMPTY,
        all: AllRegisters::NONE,
        caller: AllRegisters::NONE,
        stack: expression::Stack::new(),
    };
}

/// A step by the table itself: signal frames, whose registers the kernel saved on the stack, frames that realign the stack,
/// entries of procedure linkage tables.
#[cold]
#[inline(never)]
pub fn step(registers: &mut Registers, frame: Frame, object: &Entry, memory: &mut StackMemory) -> Result<(), Stop> {
    let step = || step_here(registers, frame.call_address(), object, memory);
    *registers = spare_stack::run(step).ok_or(End::NoRoom)??;
    Ok(())
}

/// The same in an object that the registry doesn't have for this place; nothing of it is kept. Context: hook.
#[cold]
#[inline(never)]
pub fn step_elsewhere(registers: &mut Registers, memory: &mut StackMemory) -> Result<(), Stop> {
    let step = || {
        let address = registers.ip.wrapping_sub(1);
        let object = objects::describe_here(address).ok_or(Stop::NoTable)?;
        step_here(registers, address, &object, memory)
    };
    *registers = spare_stack::run(step).ok_or(End::NoRoom)??;
    Ok(())
}

/// A step from where a handler returned to, to what the signal interrupted: see [`signal_frame`]. Context: hook.
#[cold]
#[inline(never)]
pub fn step_interrupted(registers: &mut Registers, memory: &mut StackMemory) -> Result<(), Stop> {
    let step = || {
        let mut room = Room::EMPTY;
        room.all = interrupted(registers.sp, memory)?;
        room.followed().ok_or(Stop::At(End::BadUnwindInfo))
    };
    *registers = spare_stack::run(step).ok_or(End::NoRoom)??;
    Ok(())
}

/// The registers of what a signal interrupted, by the kernel's record at `sp`.
fn interrupted(sp: u64, memory: &mut StackMemory) -> Result<AllRegisters, Stop> {
    let mut all = signal_frame::read(sp, |address| memory.read(address)).ok_or(End::UnreadableStack)?;
    let ip = all.get(PROGRAM_COUNTER).unwrap_or(0).saturating_add(1);
    all.put(PROGRAM_COUNTER, Some(ip));
    Ok(all)
}

fn step_here(registers: &Registers, address: u64, object: &Entry, memory: &mut StackMemory) -> Result<Registers, Stop> {
    let mut room = Room::EMPTY;
    // SAFETY: what is preserved isn't asked for.
    unsafe { room.all.set(registers, false) };
    step_all(&mut room, address, object, memory)?;
    room.followed().ok_or(Stop::At(End::BadUnwindInfo))
}

impl Room {
    /// The registers that a walk follows.
    fn followed(&self) -> Option<Registers> {
        let all = &self.all;
        let bp = all.get(FRAME_POINTER).unwrap_or(0);
        Some(Registers::new(
            all.get(registers::PROGRAM_COUNTER)?,
            all.get(STACK_POINTER)?,
            bp,
        ))
    }
}

/// Whether a call leaves the return address in a register, where it may stay.
const IN_REGISTER: bool = registers::RETURN_ADDRESS != PROGRAM_COUNTER;

/// From `room.all`, the registers of the frame whose call is at `address`, to its caller's, by the table.
fn step_all(room: &mut Room, address: u64, object: &Entry, memory: &mut StackMemory) -> Result<(), Stop> {
    const BAD: Stop = Stop::At(End::BadUnwindInfo);
    if signal_frame::is_returned_to(address.wrapping_add(1), page_is_readable) {
        room.all = interrupted(room.all.get(STACK_POINTER).ok_or(BAD)?, memory)?;
        return Ok(());
    }
    let found: Found = tables::find(object, address)?.ok_or(Stop::NoTable)?;
    let Room {
        row,
        all,
        caller,
        stack,
    } = room;
    row.compute(&found, address)?;
    let cfa = match row.cfa {
        Cfa::Register(register, offset) => all
            .get(register)
            .ok_or(Stop::NeedsRegisters)?
            .wrapping_add_signed(offset),
        Cfa::Expression(expression) => evaluate(&found, expression, all, None, memory, stack)?,
    };
    *caller = AllRegisters::NONE;
    for (register, saved) in (0u16..).zip(row.saved) {
        let at = |address: u64, memory: &mut StackMemory| memory.read(address).ok_or(End::UnreadableStack);
        let value = match saved {
            // The stack pointer was the canonical frame address before the call.
            Saved::Same if register == STACK_POINTER => Ok(Some(cfa)),
            Saved::Same if register == row.return_address && !IN_REGISTER => Ok(None),
            Saved::Same => Ok(all.get(register)),
            Saved::Undefined => Ok(None),
            Saved::At(offset) => at(cfa.wrapping_add_signed(offset), memory).map(Some).map_err(Stop::At),
            Saved::Is(offset) => Ok(Some(cfa.wrapping_add_signed(offset))),
            Saved::In(other) => all.get(other).map(Some).ok_or(Stop::NeedsRegisters),
            Saved::AtExpression(expression) => evaluate(&found, expression, all, Some(cfa), memory, stack)
                .and_then(|address| Ok(Some(at(address, memory)?))),
            Saved::IsExpression(expression) => evaluate(&found, expression, all, Some(cfa), memory, stack).map(Some),
        };
        // What is of no use for the way on may be wrong.
        let needed = register == row.return_address || register == STACK_POINTER || register == FRAME_POINTER;
        caller.put(register, if needed { value? } else { value.unwrap_or(None) });
    }
    let Some(ip) = caller.get(row.return_address).map(registers::return_address) else {
        let unsaved = IN_REGISTER && row.saved.get(usize::from(row.return_address)) == Some(&Saved::Same);
        return Err(if unsaved {
            Stop::NeedsRegisters
        } else {
            Stop::At(End::Complete)
        });
    };
    let sp = caller.get(STACK_POINTER).ok_or(BAD)?;
    // After a signal it is the interrupted instruction itself; and the program may have been on another stack than the handler
    // is, above or below it in memory: whether it can be read is the caller's question.
    if !row.is_signal && Some(sp) <= all.get(STACK_POINTER) {
        return Err(BAD);
    }
    if IN_REGISTER {
        caller.put(row.return_address, None); // the call that the frame is in has used it
    }
    caller.put(
        PROGRAM_COUNTER,
        Some(if row.is_signal { ip.saturating_add(1) } else { ip }),
    );
    *all = *caller;
    Ok(())
}

/// The registers of the caller of the frame `at` (its return address and stack pointer), by a walk from `start` with all registers. Context: hook.
#[cold]
#[inline(never)]
pub fn replay(start: &Registers, at: (u64, u64), thread: &ThreadState) -> Result<Registers, Stop> {
    spare_stack::run(|| replay_here(start, at, thread)).ok_or(End::NoRoom)?
}

fn replay_here(start: &Registers, at: (u64, u64), thread: &ThreadState) -> Result<Registers, Stop> {
    const BAD: Stop = Stop::At(End::BadUnwindInfo);
    let mut memory = StackMemory::new(start.sp, thread);
    let mut room = Room::EMPTY;
    // SAFETY: the registers that a hook's entry or crosscall2 saved lie on the stack that we walk, in frames that aren't left
    // before the walk is.
    unsafe { room.all.set(start, true) };
    for _ in 0..super::MAX_FRAMES {
        let now = room.followed().ok_or(BAD)?;
        let last = (now.ip, now.sp) == at;
        let address = now.ip.wrapping_sub(1);
        match objects::find(address) {
            _ if signal_frame::is_returned_to(now.ip, page_is_readable) => {
                room.all = interrupted(now.sp, &mut memory)?;
            }
            Some(object) => step_all(&mut room, address, object, &mut memory)?,
            None => {
                let object = objects::describe_here(address).ok_or(BAD)?;
                step_all(&mut room, address, &object, &mut memory)?;
            }
        }
        let caller = room.followed().ok_or(BAD)?;
        if last {
            return Ok(caller);
        }
        if (caller.sp <= now.sp || !memory.reaches(caller.sp)) && !memory.move_to(caller.sp, thread) {
            return Err(Stop::At(End::UnreadableStack));
        }
    }
    Err(BAD)
}
