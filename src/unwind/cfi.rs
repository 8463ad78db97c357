//! C frames through the unwind tables (`.eh_frame`) that every object carries, with or without debug information. What they say of
//! one return address is, as a rule, a [`Rule`] of eight bytes, kept in a cache that all threads share without a lock.
//!
//! A walk follows three registers: instruction pointer, stack pointer and frame pointer. That is what compilers' tables need at
//! a call. What is rarer is done by the table itself each time ([`by_table`]).

use super::by_table;
use super::row::{Cfa, Row, Saved};
use super::rule_cache::RuleCache;
use super::stack_memory::StackMemory;
use super::stop::Stop;
use super::tables;
use crate::sys::registers::{self, RECORD_ENDS_FRAME, RETURN_ADDRESS_AT, Registers};
use crate::sys::spare_stack;
use crate::tables::frame::{End, Frame, ObjectId};
use crate::tables::objects::{self, Entry};

const FRAME_POINTER: u16 = registers::FRAME_POINTER;
const STACK_POINTER: u16 = registers::STACK_POINTER;

/// What the tables say of one return address, as far as a walk needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// The canonical frame address is register + offset; the return address lies at an offset from it; the caller's frame
    /// pointer is still in the register or saved at an offset from the canonical frame address.
    Frame {
        from_bp: bool,
        cfa_offset: i32,
        bp_saved_at: Option<i32>,
        ip_saved_at: i32,
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
    ///  63        48 47        32 31            4  3    2    1-0
    ///  | bp offset / 8 | ip offset / 8 | cfa offset | bp | cfa | kind |
    /// ```
    fn encode(self) -> u64 {
        match self {
            Rule::Frame {
                from_bp,
                cfa_offset,
                bp_saved_at,
                ip_saved_at,
            } => {
                let words = |offset: i32| u64::from((offset / 8) as u16);
                let bp = bp_saved_at.map_or(0, |offset| words(offset) << 48 | 8);
                bp | words(ip_saved_at) << 32 | (u64::from((cfa_offset as u32) << 4)) | u64::from(from_bp) << 2
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
                bp_saved_at: (word & 8 != 0).then_some(i32::from((word >> 48) as i16) * 8),
                ip_saved_at: match RETURN_ADDRESS_AT {
                    Some(always) => always as i32,
                    None => i32::from((word >> 32) as i16) * 8,
                },
            },
            1 => Rule::Start,
            2 => Rule::Rare,
            _ => Rule::NoTable,
        }
    }

    /// The rule of a row of the table; `Rare` for whatever does not fit.
    fn of_row(row: &Row) -> Rule {
        const FITS: core::ops::Range<i64> = -(1 << 27)..1 << 27;
        let in_words = |offset: i64| offset % 8 == 0 && (-(1 << 18)..1 << 18).contains(&offset);
        const RETURN_ADDRESS: u16 = registers::RETURN_ADDRESS;
        let saved = |register: u16| row.saved.get(usize::from(register)).copied();
        let ip_saved_at = match (row.return_address, saved(row.return_address)) {
            (_, Some(Saved::Undefined)) => return Rule::Start,
            (RETURN_ADDRESS, Some(Saved::At(offset)))
                if !row.is_signal && in_words(offset) && RETURN_ADDRESS_AT.is_none_or(|at| at == offset) =>
            {
                offset as i32
            }
            _ => return Rule::Rare,
        };
        let (from_bp, cfa_offset) = match row.cfa {
            Cfa::Register(STACK_POINTER, offset) if FITS.contains(&offset) => (false, offset as i32),
            Cfa::Register(FRAME_POINTER, offset) if FITS.contains(&offset) => (true, offset as i32),
            _ => return Rule::Rare,
        };
        let bp_saved_at = match saved(FRAME_POINTER) {
            Some(Saved::Undefined | Saved::Same) => None,
            Some(Saved::At(offset)) if in_words(offset) => Some(offset as i32),
            _ => return Rule::Rare,
        };
        match saved(STACK_POINTER) {
            Some(Saved::Undefined | Saved::Same | Saved::Is(0)) => Rule::Frame {
                from_bp,
                cfa_offset,
                bp_saved_at,
                ip_saved_at,
            },
            _ => Rule::Rare,
        }
    }
}

/// Rules, encoded, by return address and object, for all threads. The key has the object's number in it, which is never used again:
/// a rule can't outlive its object, wherever it is loaded.
static CACHE: RuleCache<{ 1 << 13 }> = RuleCache::new();

/// Goes from `registers`' frame, which lies in `object`, to its caller's; or says why there is none. Where the frame was found by the frame
/// pointer (`guessed`) and that doesn't lead to its stack pointer, it is found by where the table says that the frame record lies. Context:
/// hook.
///
/// In place, and inlined into the loop: registers that are handed from one place in memory to another cost more than all
/// the rest (a load of two words at once has to wait for the two stores of one).
#[inline(always)]
pub(super) fn step(
    registers: &mut Registers,
    frame: Frame,
    object: &Entry,
    memory: &mut StackMemory,
    guessed: bool,
) -> Result<(), Stop> {
    let rule = match CACHE.get(frame.cache_key()) {
        Some(encoded) => Rule::decode(encoded),
        None => new_rule(frame, object)?,
    };
    follow(rule, registers, memory, guessed, |caller, memory| {
        by_table::step(caller, frame, object, memory)
    })
}

/// The same in an object that is not registered for the place where it is; `frame` is that of the place where it is, if any. Its
/// rules are cached for both. Context: hook.
#[cold]
#[inline(never)]
pub(super) fn step_elsewhere(
    registers: &mut Registers,
    frame: Frame,
    memory: &mut StackMemory,
    guessed: bool,
) -> Result<(), Stop> {
    if frame.object() == ObjectId::UNKNOWN {
        return by_table::step_elsewhere(registers, memory);
    }
    let rule = match CACHE.get(frame.cache_key()) {
        Some(encoded) => Rule::decode(encoded),
        None => new_rule_elsewhere(frame, registers.ip.wrapping_sub(1))?,
    };
    follow(rule, registers, memory, guessed, by_table::step_elsewhere)
}

#[inline(always)]
fn follow(
    rule: Rule,
    registers: &mut Registers,
    memory: &mut StackMemory,
    guessed: bool,
    by_table: impl FnOnce(&mut Registers, &mut StackMemory) -> Result<(), Stop>,
) -> Result<(), Stop> {
    match rule {
        Rule::Frame {
            from_bp,
            cfa_offset,
            bp_saved_at,
            ip_saved_at,
        } => {
            let (base, offset) = match (from_bp, bp_saved_at) {
                (true, _) => (registers.bp, cfa_offset),
                (false, _) if RECORD_ENDS_FRAME || !guessed => (registers.sp, cfa_offset),
                (false, Some(saved_at)) => (registers.bp, -saved_at),
                (false, None) => return Err(Stop::NoTable),
            };
            let cfa = base.wrapping_add_signed(i64::from(offset));
            // The stack grows down: a caller's frame lies above, or the table (or the register) is wrong.
            if cfa <= registers.sp {
                return Err(Stop::At(End::BadUnwindInfo));
            }
            let ip = memory
                .read(cfa.wrapping_add_signed(i64::from(ip_saved_at)))
                .ok_or(Stop::At(End::UnreadableStack))?;
            let bp = match bp_saved_at {
                None => registers.bp,
                Some(offset) => memory
                    .read(cfa.wrapping_add_signed(i64::from(offset)))
                    .ok_or(Stop::At(End::UnreadableStack))?,
            };
            registers.ip = registers::return_address(ip);
            registers.sp = cfa;
            registers.bp = bp;
            Ok(())
        }
        Rule::Start => Err(Stop::At(End::Complete)),
        Rule::NoTable => Err(Stop::NoTable),
        Rule::Rare if guessed && !RECORD_ENDS_FRAME => Err(Stop::NoTable),
        Rule::Rare => {
            let mut caller = *registers; // a copy, so that the walk's own may stay in the processor's registers
            by_table(&mut caller, memory)?;
            *registers = caller;
            Ok(())
        }
    }
}

#[cold]
#[inline(never)]
fn new_rule(frame: Frame, object: &Entry) -> Result<Rule, End> {
    let rule = spare_stack::run(|| read_rule(frame.call_address(), object)).ok_or(End::NoRoom)??;
    CACHE.put(frame.cache_key(), rule.encode());
    Ok(rule)
}

#[cold]
#[inline(never)]
fn new_rule_elsewhere(frame: Frame, address: u64) -> Result<Rule, End> {
    let read = || match objects::describe_here(address) {
        Some(object) => read_rule(address, &object),
        None => Ok(Rule::NoTable),
    };
    let rule = spare_stack::run(read).ok_or(End::NoRoom)??;
    CACHE.put(frame.cache_key(), rule.encode());
    Ok(rule)
}

fn read_rule(address: u64, object: &Entry) -> Result<Rule, End> {
    let Some(found) = tables::find(object, address)? else {
        return Ok(Rule::NoTable);
    };
    let mut row = Row::EMPTY;
    row.compute(&found, address)?;
    Ok(Rule::of_row(&row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_survives_its_encoding() {
        // Where a call leaves the return address, a rule has no other place for it.
        const OTHER: (i32, i32) = match RETURN_ADDRESS_AT {
            Some(at) => (at as i32, at as i32),
            None => (-(1 << 18), (1 << 18) - 8),
        };
        for rule in [
            Rule::Start,
            Rule::Rare,
            Rule::NoTable,
            Rule::Frame {
                from_bp: false,
                cfa_offset: 8,
                bp_saved_at: None,
                ip_saved_at: -8,
            },
            Rule::Frame {
                from_bp: true,
                cfa_offset: 16,
                bp_saved_at: Some(-16),
                ip_saved_at: -8,
            },
            Rule::Frame {
                from_bp: false,
                cfa_offset: (1 << 27) - 1,
                bp_saved_at: Some(-(1 << 18)),
                ip_saved_at: OTHER.0,
            },
            Rule::Frame {
                from_bp: false,
                cfa_offset: -(1 << 27),
                bp_saved_at: Some(8),
                ip_saved_at: OTHER.1,
            },
        ] {
            assert_eq!(Rule::decode(rule.encode()), rule);
        }
    }
}
