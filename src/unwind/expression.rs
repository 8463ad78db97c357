//! DWARF expressions as unwind tables may have them (DWARF 5, 2.5; 6.4.2), on a stack of a fixed size.

use gimli::{Encoding, Operation, Reader};

use super::row::Expression;
use super::stack_memory::StackMemory;
use super::stop::Stop;
use super::tables::Found;
use crate::sys::registers::AllRegisters;
use crate::tables::frame::End;

/// Words, as many as gcc's unwinder has.
const STACK: usize = 64;
/// Operations of one expression at most: it may loop.
const MOST_OPERATIONS: u32 = 10_000;
const BAD: End = End::BadUnwindInfo;

/// Room for evaluating.
pub struct Stack {
    words: [u64; STACK],
    depth: usize,
}

impl Stack {
    /// Empty.
    pub const fn new() -> Stack {
        Stack {
            words: [0; STACK],
            depth: 0,
        }
    }

    fn push(&mut self, word: u64) -> Result<(), End> {
        *self.words.get_mut(self.depth).ok_or(BAD)? = word;
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Result<u64, End> {
        self.depth = self.depth.checked_sub(1).ok_or(BAD)?;
        self.words.get(self.depth).copied().ok_or(BAD)
    }

    /// The word that lies below `above` others.
    fn pick(&self, above: usize) -> Result<u64, End> {
        let at = self.depth.checked_sub(above + 1).ok_or(BAD)?;
        self.words.get(at).copied().ok_or(BAD)
    }
}

/// Runs an expression; `initial` lies on the stack when it begins. Context: hook.
pub fn evaluate(
    found: &Found,
    expression: Expression,
    registers: &AllRegisters,
    initial: Option<u64>,
    memory: &mut StackMemory,
    stack: &mut Stack,
) -> Result<u64, Stop> {
    stack.depth = 0;
    if let Some(initial) = initial {
        stack.push(initial)?;
    }
    let encoding: Encoding = found.fde.cie().encoding();
    let bytecode = expression.get(&found.section).map_err(|_| BAD)?.0;
    let mut at = bytecode;
    for _ in 0..MOST_OPERATIONS {
        if at.is_empty() {
            return Ok(stack.pop()?);
        }
        let value = match Operation::parse(&mut at, encoding).map_err(|_| BAD)? {
            Operation::RegisterOffset { register, offset, .. } => registers
                .get(register.0)
                .ok_or(Stop::NeedsRegisters)?
                .wrapping_add_signed(offset),
            Operation::Register { register } => registers.get(register.0).ok_or(Stop::NeedsRegisters)?,
            Operation::Address { address } => address,
            Operation::UnsignedConstant { value } => value,
            Operation::SignedConstant { value } => value as u64,
            Operation::PlusConstant { value } => stack.pop()?.wrapping_add(value),
            Operation::Deref { size, space: false, .. } => read(memory, stack.pop()?, size)?,
            Operation::Pick { index } => stack.pick(usize::from(index))?,
            Operation::Drop => {
                stack.pop()?;
                continue;
            }
            Operation::Nop => continue,
            Operation::Swap => {
                let (upper, lower) = (stack.pop()?, stack.pop()?);
                stack.push(upper)?;
                lower
            }
            Operation::Rot => {
                let (first, second, third) = (stack.pop()?, stack.pop()?, stack.pop()?);
                stack.push(first)?;
                stack.push(third)?;
                second
            }
            Operation::Abs => (stack.pop()? as i64).unsigned_abs(),
            Operation::Neg => stack.pop()?.wrapping_neg(),
            Operation::Not => !stack.pop()?,
            Operation::Skip { target } => {
                at = jump(&bytecode, &at, target)?;
                continue;
            }
            Operation::Bra { target } => {
                if stack.pop()? != 0 {
                    at = jump(&bytecode, &at, target)?;
                }
                continue;
            }
            operation => {
                let (right, left) = (stack.pop()?, stack.pop()?);
                binary(&operation, left, right)?
            }
        };
        stack.push(value)?;
    }
    Err(Stop::At(BAD))
}

fn binary<R: Reader>(operation: &Operation<R>, left: u64, right: u64) -> Result<u64, End> {
    let (signed, other) = (left as i64, right as i64);
    let shift = u32::try_from(right).unwrap_or(u32::MAX);
    Ok(match operation {
        Operation::Plus => left.wrapping_add(right),
        Operation::Minus => left.wrapping_sub(right),
        Operation::Mul => left.wrapping_mul(right),
        Operation::Div if right != 0 => signed.wrapping_div(other) as u64,
        Operation::Mod => left.checked_rem(right).ok_or(BAD)?,
        Operation::And => left & right,
        Operation::Or => left | right,
        Operation::Xor => left ^ right,
        Operation::Shl => left.checked_shl(shift).unwrap_or(0),
        Operation::Shr => left.checked_shr(shift).unwrap_or(0),
        Operation::Shra => (signed >> shift.min(63)) as u64,
        Operation::Eq => u64::from(signed == other),
        Operation::Ne => u64::from(signed != other),
        Operation::Lt => u64::from(signed < other),
        Operation::Le => u64::from(signed <= other),
        Operation::Gt => u64::from(signed > other),
        Operation::Ge => u64::from(signed >= other),
        _ => return Err(BAD),
    })
}

/// `target` bytes on from the end of the jump that was read last.
fn jump<R: Reader<Offset = usize>>(bytecode: &R, end: &R, target: i16) -> Result<R, End> {
    let to = end
        .offset_from(bytecode)
        .checked_add_signed(isize::from(target))
        .ok_or(BAD)?;
    let mut at = bytecode.clone();
    at.skip(to).map_err(|_| BAD)?;
    Ok(at)
}

/// An unsigned number of `size` bytes, which may lie across two words.
fn read(memory: &mut StackMemory, address: u64, size: u8) -> Result<u64, End> {
    const UNREADABLE: End = End::UnreadableStack;
    let (word, shift) = (address & !7, 8 * (address & 7) as u32);
    let low = memory.read(word).ok_or(UNREADABLE)? >> shift;
    let value = if shift + 8 * u32::from(size) > 64 {
        let high = memory.read(word.checked_add(8).ok_or(UNREADABLE)?).ok_or(UNREADABLE)?;
        low | high << (64 - shift)
    } else {
        low
    };
    match size {
        8 => Ok(value),
        1 | 2 | 4 => Ok(value & ((1 << (8 * size)) - 1)),
        _ => Err(BAD),
    }
}
