//! C frames through the unwind tables (`.eh_frame`) that every object carries, with or without debug information. The tables are read by gimli; what they say of one return address is a [`Rule`] of eight bytes, kept in a
//! cache that all threads share without a lock.
//!
//! Only three registers are followed: instruction pointer, stack pointer and frame pointer. That is what compilers'
//! tables need at a call; a table that computes from another register ends the stack, counted.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, LittleEndian, Operation, Pointer, Register, RegisterRule,
    UnwindContext, UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow,
};

use super::stack_memory::StackMemory;
use crate::sys::registers::{self, RETURN_ADDRESS_AT, Registers};
use crate::sys::spare_stack;
use crate::tables::frame::{End, Frame};
use crate::tables::hash::mix;
use crate::tables::objects::{self, Entry};

type Slice = gimli::EndianSlice<'static, LittleEndian>;

const FRAME_POINTER: Register = Register(registers::FRAME_POINTER);
const STACK_POINTER: Register = Register(registers::STACK_POINTER);
const RETURN_ADDRESS: Register = Register(registers::RETURN_ADDRESS);

/// What the tables say of one return address, as far as a walk needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The canonical frame address is register + offset; the return address lies just below it; the caller's frame
    /// pointer is still in the register or saved at an offset from the canonical frame address.
    Frame {
        from_bp: bool,
        cfa_offset: i32,
        bp_saved_at: Option<i32>,
    },
    /// The thread starts here: the tables say that there is no return address.
    Start,
    /// Something rarer (a signal frame, a computed frame address): look into the tables each time.
    Rare,
    /// No table covers the address.
    NoTable,
}

impl Rule {
    /// ```text
    ///  63          32 31            4  3    2    1-0
    ///  | bp offset   | cfa offset    | bp | cfa | kind |
    /// ```
    fn encode(self) -> u64 {
        match self {
            Rule::Frame {
                from_bp,
                cfa_offset,
                bp_saved_at,
            } => {
                let bp = bp_saved_at.map_or(0, |offset| (u64::from(offset as u32) << 32) | 8);
                bp | (u64::from((cfa_offset as u32) << 4)) | u64::from(from_bp) << 2
            }
            Rule::Start => 1,
            Rule::Rare => 2,
            Rule::NoTable => 3,
        }
    }

    fn decode(word: u64) -> Rule {
        match word & 3 {
            0 => Rule::Frame {
                from_bp: word & 4 != 0,
                cfa_offset: (word as u32 as i32) >> 4,
                bp_saved_at: (word & 8 != 0).then_some((word >> 32) as i32),
            },
            1 => Rule::Start,
            2 => Rule::Rare,
            _ => Rule::NoTable,
        }
    }

    /// The rule of a row of the table; `Rare` for whatever does not fit.
    fn of_row(row: &UnwindTableRow<usize, Storage>) -> Rule {
        const FITS: core::ops::Range<i64> = -(1 << 27)..1 << 27;
        if let Some(RegisterRule::Undefined) = row.register(RETURN_ADDRESS) {
            return Rule::Start;
        }
        let (from_bp, cfa_offset) = match row.cfa() {
            CfaRule::RegisterAndOffset {
                register: STACK_POINTER,
                offset,
            } if FITS.contains(offset) => (false, *offset as i32),
            CfaRule::RegisterAndOffset {
                register: FRAME_POINTER,
                offset,
            } if FITS.contains(offset) => (true, *offset as i32),
            _ => return Rule::Rare,
        };
        let bp_saved_at = match row.register(FRAME_POINTER) {
            None | Some(RegisterRule::Undefined | RegisterRule::SameValue) => None,
            Some(RegisterRule::Offset(offset)) if FITS.contains(&offset) => Some(offset as i32),
            _ => return Rule::Rare,
        };
        match row.register(RETURN_ADDRESS) {
            Some(RegisterRule::Offset(RETURN_ADDRESS_AT)) => Rule::Frame {
                from_bp,
                cfa_offset,
                bp_saved_at,
            },
            _ => Rule::Rare,
        }
    }
}

/// Rules by return address and object, for all threads. A pair of words is written and read without a lock: the first is
/// the key exclusive-or the second, so a pair that two writers mixed doesn't fit any key (Hyatt's lockless hashing, 2002).
/// The key has the object's number in it, which is never used again: a rule can't outlive its object.
struct Cache([[AtomicU64; 2]; CACHE_SLOTS]);

const CACHE_SLOTS: usize = 1 << 13;
static CACHE: Cache = Cache([const { [AtomicU64::new(0), AtomicU64::new(0)] }; CACHE_SLOTS]);

impl Cache {
    fn slot(&self, key: u64) -> &[AtomicU64; 2] {
        &self.0[(mix(0, key) >> 32) as usize % CACHE_SLOTS]
    }

    #[inline]
    fn get(&self, key: u64) -> Option<Rule> {
        let [mixed, word] = self.slot(key);
        let word = word.load(Relaxed);
        (mixed.load(Relaxed) ^ word == key).then(|| Rule::decode(word))
    }

    fn put(&self, key: u64, rule: Rule) {
        let [mixed, word] = self.slot(key);
        let encoded = rule.encode();
        mixed.store(key ^ encoded, Relaxed);
        word.store(encoded, Relaxed);
    }
}

/// Goes from `registers`' frame, which lies in `object`, to its caller's; or says why there is none. Context: hook.
///
/// In place, and inlined into the loop: registers that are handed from one place in memory to another cost more than all
/// the rest (a load of two words at once has to wait for the two stores of one).
#[inline(always)]
pub fn step(registers: &mut Registers, frame: Frame, object: &Entry, memory: &mut StackMemory) -> Result<(), End> {
    let rule = match CACHE.get(frame.cache_key()) {
        Some(rule) => rule,
        None => new_rule(frame, object)?,
    };
    match rule {
        Rule::Frame {
            from_bp,
            cfa_offset,
            bp_saved_at,
        } => {
            let base = if from_bp { registers.bp } else { registers.sp };
            let cfa = base.wrapping_add_signed(i64::from(cfa_offset));
            // The stack grows down: a caller's frame lies above, or the table (or the register) is wrong.
            if cfa <= registers.sp {
                return Err(End::BadUnwindInfo);
            }
            let ip = memory
                .read(cfa.wrapping_add_signed(RETURN_ADDRESS_AT))
                .ok_or(End::UnreadableStack)?;
            let bp = match bp_saved_at {
                None => registers.bp,
                Some(offset) => memory
                    .read(cfa.wrapping_add_signed(i64::from(offset)))
                    .ok_or(End::UnreadableStack)?,
            };
            registers.ip = ip;
            registers.sp = cfa;
            registers.bp = bp;
            Ok(())
        }
        Rule::Start => Err(End::Complete),
        Rule::NoTable => Err(End::NoUnwindInfo),
        Rule::Rare => {
            *registers = rare_step(registers, frame, object, memory)?;
            Ok(())
        }
    }
}

#[cold]
#[inline(never)]
fn new_rule(frame: Frame, object: &Entry) -> Result<Rule, End> {
    let found = spare_stack::run(|| look_up(frame.call_address(), object, Rule::of_row)).ok_or(End::NoRoom)?;
    let rule = found?.unwrap_or(Rule::NoTable);
    CACHE.put(frame.cache_key(), rule);
    Ok(rule)
}

/// Room for gimli to run a table's program in, on a spare stack: some 2 KiB. Tables save one row while they describe another.
struct Storage;
impl UnwindContextStorage<usize> for Storage {
    type Rules = [(Register, RegisterRule<usize>); registers::TABLE_REGISTERS];
    type Stack = [UnwindTableRow<usize, Storage>; 3];
}

/// Finds the row of `object`'s tables for `address` and hands it to `with`. `Ok(None)`: no table covers the address.
#[cold]
#[inline(never)] // its room must not be part of every walk's frame
fn look_up<T>(
    address: u64,
    object: &Entry,
    with: impl FnOnce(&UnwindTableRow<usize, Storage>) -> T,
) -> Result<Option<T>, End> {
    let Some(tables) = Tables::of(object) else {
        return Ok(None);
    };
    let Some((fde, _)) = tables.fde(address)? else {
        return Ok(None);
    };
    let mut context: UnwindContext<usize, Storage> = UnwindContext::new_in();
    match fde.unwind_info_for_address(&tables.eh_frame, &tables.bases, &mut context, address) {
        Ok(row) => Ok(Some(with(row))),
        Err(gimli::Error::NoUnwindInfoForAddress) => Ok(None),
        Err(_) => Err(End::BadUnwindInfo),
    }
}

/// The unwind tables of a loaded object, where they lie in memory.
struct Tables {
    header: gimli::ParsedEhFrameHdr<Slice>,
    eh_frame: EhFrame<Slice>,
    eh_frame_start: u64,
    bases: BaseAddresses,
}

type Fde = gimli::FrameDescriptionEntry<Slice>;

impl Tables {
    fn of(object: &Entry) -> Option<Tables> {
        if object.unwind_header.is_empty() {
            return None;
        }
        let header_start = object.unwind_header.as_ptr() as u64;
        let bases = BaseAddresses::default().set_eh_frame_hdr(header_start);
        let header = EhFrameHdr::new(object.unwind_header, LittleEndian)
            .parse(&bases, 8)
            .ok()?;
        let Pointer::Direct(eh_frame_start) = header.eh_frame_ptr() else {
            return None;
        };
        if !(object.map_start..object.unwind_limit).contains(&eh_frame_start) {
            return None;
        }
        let length = (object.unwind_limit - eh_frame_start) as usize;
        // SAFETY: from .eh_frame to the end of the segment that holds the tables; the object is loaded, since one of its
        // frames is on the stack that we walk.
        let bytes = unsafe { core::slice::from_raw_parts(eh_frame_start as *const u8, length) };
        Some(Tables {
            header,
            eh_frame: EhFrame::new(bytes, LittleEndian),
            eh_frame_start,
            bases: bases.set_eh_frame(eh_frame_start),
        })
    }

    /// The entry that covers `address`, and whether it describes a signal frame.
    fn fde(&self, address: u64) -> Result<Option<(Fde, bool)>, End> {
        let Some(table) = self.header.table() else {
            return Ok(None);
        };
        let Ok(Pointer::Direct(entry)) = table.lookup(address, &self.bases) else {
            return Ok(None);
        };
        let offset = entry.checked_sub(self.eh_frame_start).ok_or(End::BadUnwindInfo)? as usize;
        let fde = self
            .eh_frame
            .fde_from_offset(&self.bases, gimli::EhFrameOffset(offset), EhFrame::cie_from_offset)
            .map_err(|_| End::BadUnwindInfo)?;
        let signal = fde.is_signal_trampoline();
        Ok(fde.contains(address).then_some((fde, signal)))
    }
}

/// A step by the table itself: signal frames, whose registers the kernel saved on the stack, and frames that realign
/// the stack.
#[cold]
#[inline(never)]
fn rare_step(registers: &Registers, frame: Frame, object: &Entry, memory: &mut StackMemory) -> Result<Registers, End> {
    spare_stack::run(|| step_by_table(registers, frame, object, memory)).unwrap_or(Err(End::NoRoom))
}

/// The same in an object that the registry has no room for; nothing of it is kept. Context: hook.
#[cold]
#[inline(never)]
pub fn step_unnumbered(registers: &mut Registers, frame: Frame, memory: &mut StackMemory) -> Result<(), End> {
    let step = || {
        let object = objects::describe_unnumbered(frame.call_address()).ok_or(End::NoUnwindInfo)?;
        step_by_table(registers, frame, &object, memory)
    };
    *registers = spare_stack::run(step).ok_or(End::NoRoom)??;
    Ok(())
}

fn step_by_table(
    registers: &Registers,
    frame: Frame,
    object: &Entry,
    memory: &mut StackMemory,
) -> Result<Registers, End> {
    let tables = Tables::of(object).ok_or(End::BadUnwindInfo)?;
    let (fde, signal) = tables.fde(frame.call_address())?.ok_or(End::NoUnwindInfo)?;
    let mut context: UnwindContext<usize, Storage> = UnwindContext::new_in();
    let row = fde
        .unwind_info_for_address(&tables.eh_frame, &tables.bases, &mut context, frame.call_address())
        .map_err(|_| End::BadUnwindInfo)?;
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => registers
            .get(*register)
            .ok_or(End::BadUnwindInfo)?
            .wrapping_add_signed(*offset),
        CfaRule::Expression(expression) => evaluate(&tables, *expression, &fde, registers, None, memory)?,
    };
    let mut value = |register: Register, same: Option<u64>| -> Result<u64, End> {
        match row.register(register).unwrap_or(RegisterRule::SameValue) {
            RegisterRule::Undefined | RegisterRule::SameValue => same.ok_or(End::Complete),
            RegisterRule::Offset(offset) => memory.read(cfa.wrapping_add_signed(offset)).ok_or(End::UnreadableStack),
            RegisterRule::ValOffset(offset) => Ok(cfa.wrapping_add_signed(offset)),
            RegisterRule::Register(other) => registers.get(other).ok_or(End::BadUnwindInfo),
            RegisterRule::Expression(expression) => {
                let at = evaluate(&tables, expression, &fde, registers, Some(cfa), memory)?;
                memory.read(at).ok_or(End::UnreadableStack)
            }
            RegisterRule::ValExpression(expression) => {
                evaluate(&tables, expression, &fde, registers, Some(cfa), memory)
            }
            _ => Err(End::BadUnwindInfo),
        }
    };
    let ip = value(RETURN_ADDRESS, None)?;
    let bp = value(FRAME_POINTER, Some(registers.bp))?;
    let sp = value(STACK_POINTER, Some(cfa))?;
    if signal {
        // The interrupted instruction itself; and the program may have been on another stack than the handler is, above
        // or below it in memory: whether it can be read is the caller's question.
        return Ok(Registers {
            ip: ip.saturating_add(1),
            sp,
            bp,
        });
    }
    if sp <= registers.sp {
        return Err(End::BadUnwindInfo);
    }
    Ok(Registers { ip, sp, bp })
}

impl Registers {
    fn get(&self, register: Register) -> Option<u64> {
        match register {
            FRAME_POINTER => Some(self.bp),
            STACK_POINTER => Some(self.sp),
            RETURN_ADDRESS => Some(self.ip),
            _ => None,
        }
    }
}

/// Runs a DWARF expression as far as unwind tables use them (DWARF 5, 2.5), on a fixed stack.
fn evaluate(
    tables: &Tables,
    expression: UnwindExpression<usize>,
    fde: &Fde,
    registers: &Registers,
    initial: Option<u64>,
    memory: &mut StackMemory,
) -> Result<u64, End> {
    const BAD: End = End::BadUnwindInfo;
    let mut stack = [0u64; 16];
    let mut depth = 0usize;
    let push = |value: u64, stack: &mut [u64; 16], depth: &mut usize| -> Result<(), End> {
        *stack.get_mut(*depth).ok_or(BAD)? = value;
        *depth += 1;
        Ok(())
    };
    fn pop(stack: &[u64; 16], depth: &mut usize) -> Result<u64, End> {
        *depth = depth.checked_sub(1).ok_or(BAD)?;
        stack.get(*depth).copied().ok_or(BAD)
    }
    if let Some(initial) = initial {
        push(initial, &mut stack, &mut depth)?;
    }
    let encoding = fde.cie().encoding();
    let mut operations = expression.get(&tables.eh_frame).map_err(|_| BAD)?.operations(encoding);
    while let Some(operation) = operations.next().map_err(|_| BAD)? {
        let value = match operation {
            Operation::RegisterOffset { register, offset, .. } => {
                registers.get(register).ok_or(BAD)?.wrapping_add_signed(offset)
            }
            Operation::UnsignedConstant { value } => value,
            Operation::SignedConstant { value } => value as u64,
            Operation::PlusConstant { value } => pop(&stack, &mut depth)?.wrapping_add(value),
            Operation::Deref {
                size: 8, space: false, ..
            } => memory.read(pop(&stack, &mut depth)?).ok_or(End::UnreadableStack)?,
            Operation::Pick { index } => {
                let at = depth.checked_sub(1 + usize::from(index)).ok_or(BAD)?;
                stack.get(at).copied().ok_or(BAD)?
            }
            Operation::Drop => {
                pop(&stack, &mut depth)?;
                continue;
            }
            Operation::Nop => continue,
            Operation::Plus
            | Operation::Minus
            | Operation::And
            | Operation::Or
            | Operation::Shl
            | Operation::Shr
            | Operation::Ge => {
                let right = pop(&stack, &mut depth)?;
                let left = pop(&stack, &mut depth)?;
                match operation {
                    Operation::Plus => left.wrapping_add(right),
                    Operation::Minus => left.wrapping_sub(right),
                    Operation::And => left & right,
                    Operation::Or => left | right,
                    Operation::Shl => left.checked_shl(right as u32).unwrap_or(0),
                    Operation::Shr => left.checked_shr(right as u32).unwrap_or(0),
                    _ => u64::from(left as i64 >= right as i64),
                }
            }
            _ => return Err(BAD),
        };
        push(value, &mut stack, &mut depth)?;
    }
    pop(&stack, &mut depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_survives_its_encoding() {
        for rule in [
            Rule::Start,
            Rule::Rare,
            Rule::NoTable,
            Rule::Frame {
                from_bp: false,
                cfa_offset: 8,
                bp_saved_at: None,
            },
            Rule::Frame {
                from_bp: true,
                cfa_offset: 16,
                bp_saved_at: Some(-16),
            },
            Rule::Frame {
                from_bp: false,
                cfa_offset: (1 << 27) - 1,
                bp_saved_at: Some(-(1 << 27)),
            },
            Rule::Frame {
                from_bp: false,
                cfa_offset: -(1 << 27),
                bp_saved_at: Some(8),
            },
        ] {
            assert_eq!(Rule::decode(rule.encode()), rule);
        }
    }

    #[test]
    fn the_cache_answers_only_for_the_key_it_was_given() {
        let rule = Rule::Frame {
            from_bp: false,
            cfa_offset: 48,
            bp_saved_at: Some(-16),
        };
        CACHE.put(0x1_0000_1234, rule);
        assert_eq!(CACHE.get(0x1_0000_1234), Some(rule));
        assert_eq!(CACHE.get(0x2_0000_1234), None);
    }
}
