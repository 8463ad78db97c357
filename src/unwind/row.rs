//! What an unwind table says of one address: the row of the table that its program computes (DWARF 5, 6.4).
//!
//! The instructions are decoded by gimli. They are run here, since a row is small when only the processor's integer registers are
//! kept, and since a program may remember states to any depth: what lies between "remember" and its "restore" has no effect in the
//! end, so it is skipped, and no state is ever kept.

use gimli::{CallFrameInstruction, CallFrameInstructionIter, Register, UnwindExpression};

use super::tables::{Fde, Found, Slice};
use crate::sys::registers::{COLUMNS, RETURN_ADDRESS, STACK_POINTER};
use crate::tables::frame::End;

/// An expression, by its place in the section.
pub type Expression = UnwindExpression<usize>;
type Instructions<'a> = CallFrameInstructionIter<'a, Slice>;

/// Instructions that are looked at for one row, at most: some milliseconds.
const MOST_INSTRUCTIONS: u32 = 1 << 20;

/// Where the canonical frame address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cfa {
    /// A register's value, and an offset.
    Register(u16, i64),
    /// Computed.
    Expression(Expression),
}

/// Where the caller's value of a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Still in the register.
    Same,
    /// Nowhere.
    Undefined,
    /// In memory at this offset from the canonical frame address.
    At(i64),
    /// It is the canonical frame address plus this offset.
    Is(i64),
    /// In another register.
    In(u16),
    /// In memory, at a computed address.
    AtExpression(Expression),
    /// Computed.
    IsExpression(Expression),
}

/// A row: only columns of integer registers and of the return address; others say nothing of where the caller is.
#[derive(Clone, Copy)]
pub struct Row {
    /// The canonical frame address.
    pub cfa: Cfa,
    /// Each register.
    pub saved: [Saved; COLUMNS],
    /// The column that stands for the return address.
    pub return_address: u16,
    /// Whether a signal interrupted the caller: its address is that of an instruction, not behind a call.
    pub is_signal: bool,
}

impl Row {
    /// Nothing yet.
    pub const EMPTY: Row = Row {
        cfa: Cfa::Register(STACK_POINTER, 0),
        saved: [Saved::Same; COLUMNS],
        return_address: RETURN_ADDRESS,
        is_signal: false,
    };

    /// Becomes the row for `address`, which the entry covers. Context: hook.
    pub fn compute(&mut self, found: &Found, address: u64) -> Result<(), End> {
        let Found { fde, section, bases } = found;
        *self = Row::EMPTY;
        self.return_address = fde.cie().return_address_register().0;
        self.is_signal = fde.is_signal_trampoline();
        let mut budget = MOST_INSTRUCTIONS;
        let mut initial = fde.cie().instructions(section, bases);
        while let Some(instruction) = next(&mut initial, &mut budget)? {
            self.apply(instruction, fde)?;
        }
        let mut location = fde.initial_address();
        let mut instructions = fde.instructions(section, bases);
        while let Some(instruction) = next(&mut instructions, &mut budget)? {
            match instruction {
                CallFrameInstruction::RememberState => {
                    if let Some(after) = behind_restore(&instructions, location, address, fde, &mut budget)? {
                        (instructions, location) = after;
                    }
                }
                CallFrameInstruction::Restore { register } => {
                    if let Some(slot) = self.saved.get_mut(usize::from(register.0)) {
                        *slot = Saved::Same;
                    }
                    let mut initial = fde.cie().instructions(section, bases);
                    while let Some(instruction) = next(&mut initial, &mut budget)? {
                        if names(&instruction) == Some(register) {
                            self.apply(instruction, fde)?;
                        }
                    }
                }
                CallFrameInstruction::RestoreState => return Err(End::BadUnwindInfo),
                instruction => match moved(&instruction, location, fde) {
                    Some(beyond) if beyond > address => break,
                    Some(there) => location = there,
                    None => self.apply(instruction, fde)?,
                },
            }
        }
        Ok(())
    }

    /// One instruction that describes a register or the canonical frame address.
    fn apply(&mut self, instruction: CallFrameInstruction<usize>, fde: &Fde) -> Result<(), End> {
        use CallFrameInstruction as I;
        let factor = fde.cie().data_alignment_factor();
        let signed = |offset: i64| offset.wrapping_mul(factor);
        let unsigned = |offset: u64| (offset as i64).wrapping_mul(factor);
        let (register, saved) = match instruction {
            I::DefCfa { register, offset } => return self.set_cfa(Cfa::Register(register.0, offset as i64)),
            I::DefCfaSf {
                register,
                factored_offset,
            } => return self.set_cfa(Cfa::Register(register.0, signed(factored_offset))),
            I::DefCfaRegister { register } => return self.set_cfa(Cfa::Register(register.0, self.cfa_offset())),
            I::DefCfaOffset { offset } => return self.set_cfa(Cfa::Register(self.cfa_register()?, offset as i64)),
            I::DefCfaOffsetSf { factored_offset } => {
                return self.set_cfa(Cfa::Register(self.cfa_register()?, signed(factored_offset)));
            }
            I::DefCfaExpression { expression } => return self.set_cfa(Cfa::Expression(expression)),
            I::Undefined { register } => (register, Saved::Undefined),
            I::SameValue { register } => (register, Saved::Same),
            I::Offset {
                register,
                factored_offset,
            } => (register, Saved::At(unsigned(factored_offset))),
            I::OffsetExtendedSf {
                register,
                factored_offset,
            } => (register, Saved::At(signed(factored_offset))),
            I::ValOffset {
                register,
                factored_offset,
            } => (register, Saved::Is(unsigned(factored_offset))),
            I::ValOffsetSf {
                register,
                factored_offset,
            } => (register, Saved::Is(signed(factored_offset))),
            I::Register {
                dest_register,
                src_register,
            } => (dest_register, Saved::In(src_register.0)),
            I::Expression { register, expression } => (register, Saved::AtExpression(expression)),
            I::ValExpression { register, expression } => (register, Saved::IsExpression(expression)),
            // Of no meaning to where the caller is.
            _ => return Ok(()),
        };
        if let Some(slot) = self.saved.get_mut(usize::from(register.0)) {
            *slot = saved;
        }
        Ok(())
    }

    fn set_cfa(&mut self, cfa: Cfa) -> Result<(), End> {
        self.cfa = cfa;
        Ok(())
    }

    fn cfa_register(&self) -> Result<u16, End> {
        match self.cfa {
            Cfa::Register(register, _) => Ok(register),
            Cfa::Expression(_) => Err(End::BadUnwindInfo),
        }
    }

    /// 0 after an expression, as gcc has it.
    fn cfa_offset(&self) -> i64 {
        match self.cfa {
            Cfa::Register(_, offset) => offset,
            Cfa::Expression(_) => 0,
        }
    }
}

fn next(instructions: &mut Instructions, budget: &mut u32) -> Result<Option<CallFrameInstruction<usize>>, End> {
    *budget = budget.checked_sub(1).ok_or(End::BadUnwindInfo)?;
    instructions.next().map_err(|_| End::BadUnwindInfo)
}

/// The address that an instruction goes on to; `None` if it is of another kind.
fn moved(instruction: &CallFrameInstruction<usize>, location: u64, fde: &Fde) -> Option<u64> {
    match *instruction {
        CallFrameInstruction::SetLoc { address } => Some(address),
        CallFrameInstruction::AdvanceLoc { delta } => {
            Some(location.saturating_add(u64::from(delta).saturating_mul(fde.cie().code_alignment_factor())))
        }
        _ => None,
    }
}

/// The register that an instruction is about.
fn names(instruction: &CallFrameInstruction<usize>) -> Option<Register> {
    use CallFrameInstruction as I;
    match *instruction {
        I::Undefined { register }
        | I::SameValue { register }
        | I::Offset { register, .. }
        | I::OffsetExtendedSf { register, .. }
        | I::ValOffset { register, .. }
        | I::ValOffsetSf { register, .. }
        | I::Expression { register, .. }
        | I::ValExpression { register, .. } => Some(register),
        I::Register { dest_register, .. } => Some(dest_register),
        _ => None,
    }
}

/// Where the program goes on behind the "restore" that belongs to a "remember" just passed, if it comes at or before `address`.
fn behind_restore<'a>(
    instructions: &Instructions<'a>,
    mut location: u64,
    address: u64,
    fde: &Fde,
    budget: &mut u32,
) -> Result<Option<(Instructions<'a>, u64)>, End> {
    let mut ahead = instructions.clone();
    let mut depth = 1u32;
    while let Some(instruction) = next(&mut ahead, budget)? {
        match instruction {
            CallFrameInstruction::RememberState => depth += 1,
            CallFrameInstruction::RestoreState => {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some((ahead, location)));
                }
            }
            instruction => {
                if let Some(there) = moved(&instruction, location, fde) {
                    if there > address {
                        break;
                    }
                    location = there;
                }
            }
        }
    }
    Ok(None)
}
