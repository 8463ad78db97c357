//! A step by the frame pointer, where no table says where the caller is: code that a program made at run time, assembly, libraries
//! built without tables.
//!
//! Such code may use the register for anything. So a step is taken only if the register points into the stack above the frame and
//! what lies there is a return address: behind a call instruction, in code. It may still be that of another caller than the next:
//! a function without a frame pointer leaves that of its caller in the register, and is passed over. Hence the profile says
//! where a stack went on in this way ([`Frame::BY_FRAME_POINTER`]). Where it leads to Go's own record of a call to C,
//! no doubt is left, and nothing is said.
//!
//! ```text
//!   |  return address         |  bp + 8
//!   |  caller's frame pointer |  bp
//!   |  ...                    |
//!   |  frame without a table  |  sp
//! ```
//!
//! Where a processor's frame record lies anywhere in its frame ([`registers::RECORD_ENDS_FRAME`]), the stack pointer that a step leads to is
//! no more than a lower bound, until a table says how far the next record is from the end of its frame.
//!
//! [`Frame::BY_FRAME_POINTER`]: crate::tables::frame::Frame::BY_FRAME_POINTER

use super::stack_memory::StackMemory;
use crate::sys::call_site::{LONGEST_CALL, ends_with_call};
use crate::sys::page_size::SMALLEST as PAGE;
use crate::sys::readable::page_is_readable;
use crate::sys::registers::{self, Registers};
use crate::tables::objects::Entry;

/// No frame in code without tables is larger.
const LARGEST_FRAME: u64 = 1 << 20;

/// Goes to where the frame pointer leads, if it leads up the stack; false, and nothing has changed, if not. Inlined, so that a walk's
/// registers may stay in the processor's. Context: hook.
#[inline(always)]
pub fn step(registers: &mut Registers, memory: &mut StackMemory) -> bool {
    let bp = registers.bp;
    if bp < registers.sp || bp - registers.sp > LARGEST_FRAME {
        return false;
    }
    let (Some(caller_bp), Some(ip)) = (memory.read(bp), memory.read(bp + 8)) else {
        return false;
    };
    (registers.ip, registers.sp, registers.bp) = (registers::return_address(ip), bp + 16, caller_bp);
    true
}

/// Whether `ip` can be a return address, in the code of `object`, or in code of no object. Context: hook.
#[cold]
#[inline(never)]
pub fn can_return_to(ip: u64, object: Option<&Entry>) -> bool {
    let Some(start) = ip.checked_sub(LONGEST_CALL as u64) else {
        return false;
    };
    let readable = match object {
        Some(object) => object.segments.have_code(start..ip) && object.segments.readable(start).is_some(),
        None => {
            let page = |address: u64| address & !(PAGE as u64 - 1);
            page_is_readable(page(start)) && (page(start) == page(ip - 1) || page_is_readable(page(ip - 1)))
        }
    };
    // SAFETY: in a readable segment of a loaded object, or the kernel has just said that it can be read.
    readable && ends_with_call(unsafe { &*(start as *const [u8; LONGEST_CALL]) })
}
