//! How C enters Rust code, in assembly, for two reasons:
//!
//! - the unsampled malloc and free are a handful of instructions and end in a jump to the backing function: no frame, no saved
//!   register, nothing for a compiler to add;
//! - a sample needs the registers of the *caller* as they were at the call, which no Rust function can see.
//!
//! An entry is put together by [`entry`] from the pieces below, each a macro for a few instructions. Pieces of the unsampled
//! path keep all argument registers, so that the slow path behind them, and the backing function, find the call as it was
//! made. They use x9 to x13 and x16, which a C function may change. They go to label 2 where the slow path begins.
//!
//! | piece | what it does | operands |
//! |---|---|---|
//! | `count_down!(argument!(N))` | takes a size off the thread's countdown, or goes to 2 | `threshold` |
//! | `product!()` | calloc's size, for `argument!(product)`; goes to 2 when it overflows | |
//! | `look_into_filter!()` | asks whether the block in argument 0 may be sampled | `filter`, `multiplier`, `mask_before` |
//! | `slow_if_found!()` | goes to 2 if it may | |
//! | `to_backing!()` | jumps to the backing function | `backing`, `offset` |
//! | `to_caller!()` | returns | |
//! | `slow!()` | label 2 | |
//! | `call_with_registers!()` | calls the target with a [`Call`], and returns what it returns | `target` |
//! | `call_aligned!()` | jumps to the target with the arguments as they came | `target` |

use core::ffi::c_void;

use super::registers::{self, Registers};

/// A call as it was made: built on the stack by `call_with_registers`, in this order.
#[repr(C)]
pub struct Call {
    /// x19 to x28: the caller's, for unwind tables that ask for them.
    preserved: [u64; 10],
    /// x0 to x7.
    pub arguments: [u64; 8],
    /// The caller's frame pointer register.
    bp: u64,
    /// Where the call returns to; above it lies the caller's frame.
    return_address: u64,
}

impl Call {
    /// The caller's registers once the call has returned: where unwinding starts. Good while the call lasts.
    pub fn registers(&self) -> Registers {
        let above = (&raw const *self).wrapping_add(1);
        Registers {
            ip: registers::return_address(self.return_address),
            sp: above as u64,
            bp: self.bp,
            preserved: &raw const self.preserved,
        }
    }

    /// Argument `index` as an integer; 0 when there is none.
    pub fn integer(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or(0)
    }

    /// Argument `index` as a size.
    pub fn size(&self, index: usize) -> usize {
        self.integer(index) as usize
    }

    /// Argument `index` as a pointer.
    pub fn pointer(&self, index: usize) -> *mut c_void {
        self.integer(index) as *mut c_void
    }
}

/// A naked function from pieces and their operands.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident: [$($piece:expr),* $(,)?], { $($operands:tt)* }) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the C function of that name. The Rust signature is of no meaning: the arguments are whatever the C prototype
        /// says.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(".cfi_startproc", $($piece,)* ".cfi_endproc", $($operands)*)
        }
    };
}

/// Entries without an unsampled path: the whole call goes to the target.
macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident => $target:path;)*) => {
        $(
            $crate::sys::call::entry! {
                $(#[$doc])*
                $name: [$crate::sys::call::call_with_registers!()], { target = sym $target }
            }
        )*
    };
}

/// `Call` on the stack, its address in x0, then the target; the result in x0 is ours to return. (The processor sees to it that the stack
/// is aligned.) Meanwhile x29 points to a frame record, at the end of the `Call`. The tables are right between all instructions, where a
/// signal may come whose handler unwinds.
macro_rules! call_with_registers {
    () => {
        "sub sp, sp, #160
        .cfi_adjust_cfa_offset 160
        stp x29, x30, [sp, #144]
        .cfi_rel_offset x29, 144
        .cfi_rel_offset x30, 152
        stp x19, x20, [sp]
        stp x21, x22, [sp, #16]
        stp x23, x24, [sp, #32]
        stp x25, x26, [sp, #48]
        stp x27, x28, [sp, #64]
        stp x0, x1, [sp, #80]
        stp x2, x3, [sp, #96]
        stp x4, x5, [sp, #112]
        stp x6, x7, [sp, #128]
        add x29, sp, #144
        mov x0, sp
        bl {target}
        ldp x29, x30, [sp, #144]
        .cfi_restore x29
        .cfi_restore x30
        add sp, sp, #160
        .cfi_adjust_cfa_offset -160
        ret"
    };
}

const _: () = assert!(size_of::<Call>() == 160, "the stores above build a Call");

/// The register of an argument, or of what `product!` found.
macro_rules! argument {
    (0) => {
        "x0"
    };
    (1) => {
        "x1"
    };
    (product) => {
        "x13"
    };
}

/// Takes the size off the countdown, which is the first word of the thread's state, and stores it; goes to label 2 instead
/// where that leads below the threshold. (One branch for both: where the subtraction borrows, the comparison isn't made, and leaves
/// "lower".)
macro_rules! count_down {
    ($size:expr) => {
        concat!(
            "mrs x9, tpidr_el0
            adrp x10, :gottprel:cgoheap_thread_state
            ldr x10, [x10, :gottprel_lo12:cgoheap_thread_state]
            ldr x11, [x9, x10]
            adrp x12, {threshold}
            ldr x12, [x12, :lo12:{threshold}]
            subs x11, x11, ",
            $size,
            "
            ccmp x11, x12, #0, hs
            b.lo 2f
            str x11, [x9, x10]"
        )
    };
}

/// The product of arguments 0 and 1; one that overflows takes the slow path.
macro_rules! product {
    () => {
        "umulh x9, x0, x1
        mul x13, x0, x1
        cbnz x9, 2f"
    };
}

/// Loads the filter's slot for argument 0 into w10: 0 says that the block isn't sampled. Uses x9, x10 and x11. The slot's address is
/// computed from the loaded pointer, so the processor can't load it before that.
macro_rules! look_into_filter {
    () => {
        "adrp x9, {filter}
        ldr x9, [x9, :lo12:{filter}]
        movn x10, #(~({multiplier}) & 0xffff)
        movk x10, #(({multiplier} >> 16) & 0xffff), lsl #16
        mul x10, x0, x10
        ldur x11, [x9, #-{mask_before}]
        and x10, x11, x10, lsr #32
        ldrb w10, [x9, x10]"
    };
}

/// To label 2, if the filter said that the block may be sampled.
macro_rules! slow_if_found {
    () => {
        "cbnz w10, 2f"
    };
}

/// Here the slow path begins.
macro_rules! slow {
    () => {
        "2:"
    };
}

/// A jump to the function at `offset` in the table of backing functions. By x16: a function's landing pad (BTI) takes a jump by x16 or
/// x17 for a call.
macro_rules! to_backing {
    () => {
        "adrp x16, {backing} + {offset}
        ldr x16, [x16, :lo12:{backing} + {offset}]
        br x16"
    };
}

/// To the target with the arguments as they came: see `call_with_registers!`.
macro_rules! call_aligned {
    () => {
        "b {target}"
    };
}

/// Back to the caller.
macro_rules! to_caller {
    () => {
        "ret"
    };
}

pub(crate) use {
    argument, call_aligned, call_with_registers, count_down, entries, entry, look_into_filter, product, slow,
    slow_if_found, to_backing, to_caller,
};
