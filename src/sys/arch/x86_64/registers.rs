//! The registers that lead from a frame to its caller's, and what unwind tables call them.

/// The registers that a walk follows. `caller.h` has the same struct for C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// Return address (for a frame that a signal interrupted: its instruction pointer plus one).
    pub ip: u64,
    /// Stack pointer once the call has returned.
    pub sp: u64,
    /// Frame pointer register, whatever the code uses it for.
    pub bp: u64,
}

// DWARF register numbers: System V ABI for AMD64, figure 3.36.
/// The frame pointer, rbp.
pub const FRAME_POINTER: u16 = 6;
/// The stack pointer, rsp.
pub const STACK_POINTER: u16 = 7;
/// The column of the return address.
pub const RETURN_ADDRESS: u16 = 16;

/// Where the call instruction leaves the return address, from the canonical frame address.
pub const RETURN_ADDRESS_AT: i64 = -8;

/// How many registers a row of the unwind tables can name: 0 to 16, and one that a row before the last had.
pub const TABLE_REGISTERS: usize = 18;

/// Bits of an address of user memory: 47 with four levels of page tables, beyond which mmap gives
/// none unless it is asked to.
pub const ADDRESS_BITS: u32 = 48;
