//! How C enters Rust code, in assembly, for two reasons:
//!
//! - the unsampled malloc and free are a handful of instructions and end in a jump to the backing function: no frame, no saved
//!   register, nothing for a compiler to add;
//! - a sample needs the registers of the *caller* as they were at the call, which no Rust function can see.
//!
//! An entry is put together by [`entry`] from the pieces below, each a macro for a few instructions. Pieces of the unsampled
//! path keep all argument registers, so that the slow path behind them, and the backing function, find the call as it was
//! made. They use rax, r10 and r11, which a C function may change. They go to label 2 where the slow path begins.
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
//! | `call_aligned!()` | calls the target with the arguments as they came, and returns what it returns | `target` |

use core::ffi::c_void;

use super::registers::Registers;

/// A call as it was made: built on the stack by `call_with_registers`, in this order.
#[repr(C)]
pub struct Call {
    /// rbx, r12, r13, r14, r15: the caller's, for unwind tables that ask for them.
    preserved: [u64; 5],
    /// rdi, rsi, rdx, rcx, r8, r9.
    pub arguments: [u64; 6],
    /// The caller's frame pointer register.
    bp: u64,
    /// Where the call returns to; above it lies the caller's frame.
    return_address: u64,
}

impl Call {
    /// The caller's registers once the call has returned: where unwinding starts. Good while the call lasts.
    pub fn registers(&self) -> Registers {
        let above = (&raw const self.return_address).wrapping_add(1);
        Registers {
            ip: self.return_address,
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

/// `Call` on the stack, its address in rdi, then the target; the result in rax is ours to return. The stack is aligned for the
/// call, as the ABI wants it, whatever the caller's was: JITs and hand-written assembly lose the alignment, which libc's malloc
/// doesn't mind. Meanwhile rbp points to the `Call`. The tables are right between all instructions, where a signal may come whose
/// handler unwinds.
macro_rules! call_with_registers {
    () => {
        "push rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        push r9
        .cfi_adjust_cfa_offset 8
        push r8
        .cfi_adjust_cfa_offset 8
        push rcx
        .cfi_adjust_cfa_offset 8
        push rdx
        .cfi_adjust_cfa_offset 8
        push rsi
        .cfi_adjust_cfa_offset 8
        push rdi
        .cfi_adjust_cfa_offset 8
        push r15
        .cfi_adjust_cfa_offset 8
        push r14
        .cfi_adjust_cfa_offset 8
        push r13
        .cfi_adjust_cfa_offset 8
        push r12
        .cfi_adjust_cfa_offset 8
        push rbx
        .cfi_adjust_cfa_offset 8
        mov rdi, rsp
        mov rbp, rsp
        .cfi_def_cfa_register rbp
        and rsp, -16
        call {target}
        lea rsp, [rbp + 88]
        .cfi_def_cfa rsp, 16
        pop rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret"
    };
}

const _: () = assert!(size_of::<Call>() == 104, "the pushes above build a Call");

/// The register of an argument, or of what `product!` found.
macro_rules! argument {
    (0) => {
        "rdi"
    };
    (1) => {
        "rsi"
    };
    (product) => {
        "r11"
    };
}

/// Takes the size off the countdown, which is the first word of the thread's state, and stores it; goes to label 2 instead
/// where that leads below the threshold.
macro_rules! count_down {
    ($size:expr) => {
        concat!(
            "mov rax, qword ptr [rip + cgoheap_thread_state@GOTTPOFF]
            mov r10, qword ptr fs:[rax]
            sub r10, ",
            $size,
            "
            jb 2f
            cmp r10, qword ptr [rip + {threshold}]
            jb 2f
            mov qword ptr fs:[rax], r10"
        )
    };
}

/// The product of arguments 0 and 1; one that overflows, or that is negative as a signed number, takes the slow path.
macro_rules! product {
    () => {
        "mov r11, rdi
        imul r11, rsi
        jo 2f
        js 2f"
    };
}

/// Compares the filter's slot for argument 0 with 0: "equal" says that the block isn't sampled. Uses rax and r10.
macro_rules! look_into_filter {
    () => {
        "mov r10, qword ptr [rip + {filter}]
        imul rax, rdi, {multiplier}
        shr rax, 32
        and rax, qword ptr [r10 - {mask_before}]
        cmp byte ptr [r10 + rax], 0"
    };
}

/// To label 2, if the filter said that the block may be sampled.
macro_rules! slow_if_found {
    () => {
        "jne 2f"
    };
}

/// Here the slow path begins.
macro_rules! slow {
    () => {
        "2:"
    };
}

/// A jump to the function at `offset` in the table of backing functions.
macro_rules! to_backing {
    () => {
        "jmp qword ptr [rip + {backing} + {offset}]"
    };
}

/// A call of the target with the arguments as they came, on an aligned stack: see `call_with_registers!`.
macro_rules! call_aligned {
    () => {
        "push rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset rbp, 0
        mov rbp, rsp
        .cfi_def_cfa_register rbp
        and rsp, -16
        call {target}
        mov rsp, rbp
        .cfi_def_cfa_register rsp
        pop rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore rbp
        ret"
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
