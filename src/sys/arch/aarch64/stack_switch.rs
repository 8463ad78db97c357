//! A call on another stack.

use core::ffi::c_void;

/// Calls `function(argument)` with the stack pointer at `top`, and comes back to the stack that it was called on. The unwind
/// tables lead from the one stack to the other at every instruction, so debuggers and profilers see who called. Context: hook.
///
/// # Safety
/// Below `top`, which is a multiple of 16, lies memory that nobody else uses, as much as `function` and the handlers of
/// the signals that aren't blocked need. `function` returns: it doesn't unwind or jump.
#[unsafe(naked)]
pub unsafe extern "C" fn call_on_stack(
    top: *mut u8,
    function: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    core::arch::naked_asm!(
        ".cfi_startproc
        stp x29, x30, [sp, #-16]!
        .cfi_adjust_cfa_offset 16
        .cfi_rel_offset x29, 0
        .cfi_rel_offset x30, 8
        mov x29, sp
        .cfi_def_cfa_register x29
        mov sp, x0
        mov x0, x2
        blr x1
        mov sp, x29
        .cfi_def_cfa_register sp
        ldp x29, x30, [sp], #16
        .cfi_adjust_cfa_offset -16
        .cfi_restore x29
        .cfi_restore x30
        ret
        .cfi_endproc"
    )
}
