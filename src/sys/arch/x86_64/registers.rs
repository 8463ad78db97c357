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
    /// Where the other registers lie that a function keeps for its caller, rbx, r12, r13, r14, r15; null when that isn't known.
    pub preserved: *const [u64; 5],
}

impl Registers {
    /// The same frame without what is preserved.
    pub const fn new(ip: u64, sp: u64, bp: u64) -> Registers {
        Registers {
            ip,
            sp,
            bp,
            preserved: core::ptr::null(),
        }
    }
}

/// DWARF's numbers of [`Registers::preserved`].
const PRESERVED: [u16; 5] = [3, 12, 13, 14, 15];

/// Every integer register of one frame, as far as it is known, by DWARF's numbers.
#[derive(Clone, Copy)]
pub struct AllRegisters {
    values: [u64; COLUMNS],
    /// A bit for each that is known.
    known: u32,
}

impl AllRegisters {
    /// None is known.
    pub const NONE: AllRegisters = AllRegisters {
        values: [0; COLUMNS],
        known: 0,
    };

    /// The three that a walk follows; the preserved ones too, if asked for and there.
    ///
    /// # Safety
    /// `preserved`, if it is asked for and not null, can be read.
    pub unsafe fn set(&mut self, from: &Registers, with_preserved: bool) {
        self.known = 0;
        self.put(FRAME_POINTER, Some(from.bp));
        self.put(STACK_POINTER, Some(from.sp));
        self.put(PROGRAM_COUNTER, Some(from.ip));
        // SAFETY: says the caller.
        if let (true, Some(values)) = (with_preserved, unsafe { from.preserved.as_ref() }) {
            for (register, value) in PRESERVED.into_iter().zip(values) {
                self.put(register, Some(*value));
            }
        }
    }

    /// One of them; `None` when it isn't known.
    pub fn get(&self, register: u16) -> Option<u64> {
        let value = self.values.get(usize::from(register))?;
        (self.known >> register & 1 != 0).then_some(*value)
    }

    /// Sets one of them; `None` says that it isn't known.
    pub fn put(&mut self, register: u16, value: Option<u64>) {
        if let Some(slot) = self.values.get_mut(usize::from(register)) {
            *slot = value.unwrap_or(0);
            self.known = self.known & !(1 << register) | u32::from(value.is_some()) << register;
        }
    }
}

// DWARF register numbers: System V ABI for AMD64, figure 3.36.
/// The frame pointer, rbp.
pub const FRAME_POINTER: u16 = 6;
/// The stack pointer, rsp.
pub const STACK_POINTER: u16 = 7;
/// The column of the return address.
pub const RETURN_ADDRESS: u16 = 16;

/// Where a frame's own address is kept.
pub const PROGRAM_COUNTER: u16 = RETURN_ADDRESS;

/// Where a call leaves the return address, from the canonical frame address.
pub const RETURN_ADDRESS_AT: Option<i64> = Some(-8);

/// Whether a frame record, [frame pointer][return address], lies at the end of its frame, so that it leads to the caller's stack
/// pointer.
pub const RECORD_ENDS_FRAME: bool = true;

/// Columns of the unwind tables that can lead to the caller: the integer registers and the return address, 0 to 16.
pub const COLUMNS: usize = 17;

/// What the processor adds to the instructions of unwind tables: nothing.
pub const VENDOR: gimli::Vendor = gimli::Vendor::Default;

/// Bits of an address of user memory: 47 with four levels of page tables, beyond which mmap gives
/// none unless it is asked to.
pub const ADDRESS_BITS: u32 = 48;

/// A return address as it lies in memory.
#[inline(always)]
pub const fn return_address(stored: u64) -> u64 {
    stored
}
