//! A call whose registers are kept: how C reaches Rust code that wants to know its caller.

use core::ffi::c_void;

use super::registers::Registers;

/// A call as it was made: built on the stack by the entries below, in this order.
#[repr(C)]
pub struct Call {
    /// rdi, rsi, rdx, rcx, r8, r9.
    pub arguments: [u64; 6],
    /// The caller's frame pointer register.
    bp: u64,
    /// Where the call returns to; above it lies the caller's frame.
    return_address: u64,
}

impl Call {
    /// The caller's registers once the call has returned: where unwinding starts.
    pub fn registers(&self) -> Registers {
        let above = (&raw const self.return_address).wrapping_add(1);
        Registers {
            ip: self.return_address,
            sp: above as u64,
            bp: self.bp,
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

/// `Call` on the stack, its address in rdi, then `$target`; the result in rax is ours to return. Seven words below the
/// return address: the stack is aligned at the call, as the ABI wants it. The tables are right between the pushes too, where
/// a signal may come whose handler unwinds.
macro_rules! call_with_registers {
    () => {
        "push rbp
        .cfi_adjust_cfa_offset 8
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
        mov rdi, rsp
        call {target}
        add rsp, 48
        .cfi_adjust_cfa_offset -48
        pop rbp
        .cfi_adjust_cfa_offset -8
        ret"
    };
}

#[allow(unused_macros)]
macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident => $target:path;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// As the C function of that name in `include/cgoheap.h`. The Rust signature is of no meaning: the arguments
            /// are whatever the C prototype says.
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name() {
                naked_asm!(".cfi_startproc", call_with_registers!(), ".cfi_endproc", target = sym $target)
            }
        )*
    };
}

pub(crate) use {call_with_registers, entries};

const _: () = assert!(size_of::<Call>() == 64, "the pushes above build a Call");
