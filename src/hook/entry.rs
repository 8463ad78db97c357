//! 1. The door that every call comes through, in assembly, for two reasons:
//!
//! - the unsampled malloc and free are a handful of instructions and end in a jump to the real function: no frame, no
//!   saved register, nothing for a compiler to add;
//! - a sample needs the registers of the *caller* as they were at the call, which no Rust function can see.
//!
//! The fast paths keep all argument registers, so that the slow path behind them, and the real function, find the call as
//! it was made. They use rax, r10 and r11, which a C function may change.
//!
//! The slow path, and the whole of every other function, is [`Call`]: the argument registers and the caller's state in
//! memory, handed to a Rust function.

use core::arch::naked_asm;
use core::mem::offset_of;

use super::backing::{Real, cgoheap_real};
use super::malloc as target;
use crate::record::sampler::THRESHOLD;
use crate::sys::call::{call_with_registers, entries};
use crate::tables::blocks::filter::{FILTER, FILTER_MULTIPLIER, MASK_BEFORE};

/// What runs before main: a linker takes from an archive only what somebody refers to.
#[used]
static AT_START: [&extern "C" fn(); 2] = [&crate::control::fork::AT_START, &crate::tables::objects::AT_START];

/// The unsampled path of the countdown, for an allocation of the size in `$size`: falls through with the new countdown
/// stored, or goes to label 2. See [`crate::record::sampler`].
macro_rules! count_down {
    ($size:literal) => {
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

/// Entries that have an unsampled path of their own: `$fast`, which counts down and ends with a jump to `$real`.
macro_rules! fast_entries {
    ($($(#[$doc:meta])* $name:ident => $target:path, $real:ident, [$($fast:expr),*] $(, { $($operands:tt)* })?;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// As the C function of that name in `include/cgoheap.h`.
            #[unsafe(naked)]
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name() {
                naked_asm!(
                    ".cfi_startproc",
                    $($fast,)*
                    "jmp qword ptr [rip + {real} + {offset}]",
                    "2:",
                    call_with_registers!(),
                    ".cfi_endproc",
                    threshold = sym THRESHOLD,
                    real = sym cgoheap_real,
                    offset = const offset_of!(Real, $real),
                    target = sym $target,
                    $($($operands)*)?
                )
            }
        )*
    };
}

const _: () = assert!(
    offset_of!(crate::sys::thread::ThreadState, countdown) == 0,
    "fs:[rax] is the countdown"
);

/// calloc: the size is the product; one that overflows, or that is negative as a signed number, takes the slow path.
macro_rules! product {
    () => {
        "mov r11, rdi
        imul r11, rsi
        jo 2f
        js 2f"
    };
}

/// "May this block be sampled?", free's question: the comparison's flags say no with "equal". See
/// [`crate::tables::blocks::filter`]. Uses rax and r10.
macro_rules! look_into_filter {
    () => {
        "mov r10, qword ptr [rip + {filter}]
        imul rax, rdi, {multiplier}
        shr rax, 32
        and rax, qword ptr [r10 - {mask_before}]
        cmp byte ptr [r10 + rax], 0"
    };
}

/// The same asked by realloc of the old block: goes to label 2 if it may be sampled.
macro_rules! old_block {
    () => {
        concat!(look_into_filter!(), "\njne 2f")
    };
}

fast_entries! {
    /// `malloc`.
    cgoheap_malloc => target::malloc, malloc, [count_down!("rdi")];
    /// `malloc`, from the header's macro.
    cgoheap_malloc_at => target::malloc_at, malloc, [count_down!("rdi")];
    /// `calloc`.
    cgoheap_calloc => target::calloc, calloc, [product!(), count_down!("r11")];
    /// `calloc`, from the header's macro.
    cgoheap_calloc_at => target::calloc_at, calloc, [product!(), count_down!("r11")];
    /// `realloc`.
    cgoheap_realloc => target::realloc, realloc, [old_block!(), count_down!("rsi")],
        { filter = sym FILTER, multiplier = const FILTER_MULTIPLIER, mask_before = const MASK_BEFORE };
    /// `realloc`, from the header's macro.
    cgoheap_realloc_at => target::realloc_at, realloc, [old_block!(), count_down!("rsi")],
        { filter = sym FILTER, multiplier = const FILTER_MULTIPLIER, mask_before = const MASK_BEFORE };
}

entries! {
    /// `reallocarray`.
    cgoheap_reallocarray => target::reallocarray;
    /// `reallocarray`, from the header's macro.
    cgoheap_reallocarray_at => target::reallocarray_at;
    /// `strdup`.
    cgoheap_strdup => target::strdup;
    /// `strdup`, from the header's macro.
    cgoheap_strdup_at => target::strdup_at;
    /// `strndup`.
    cgoheap_strndup => target::strndup;
    /// `strndup`, from the header's macro.
    cgoheap_strndup_at => target::strndup_at;
    /// `posix_memalign`.
    cgoheap_posix_memalign => target::posix_memalign;
    /// `posix_memalign`, from the header's macro.
    cgoheap_posix_memalign_at => target::posix_memalign_at;
    /// `aligned_alloc`.
    cgoheap_aligned_alloc => target::aligned_alloc;
    /// `aligned_alloc`, from the header's macro.
    cgoheap_aligned_alloc_at => target::aligned_alloc_at;
    /// `memalign`.
    cgoheap_memalign => target::memalign;
    /// `memalign`, from the header's macro.
    cgoheap_memalign_at => target::memalign_at;
    /// `valloc`.
    cgoheap_valloc => target::valloc;
    /// `valloc`, from the header's macro.
    cgoheap_valloc_at => target::valloc_at;
    /// `pvalloc`; no macro hands over its place.
    cgoheap_pvalloc => target::pvalloc;
}

/// `free`: one load and one comparison for a block that was not sampled. See [`crate::tables::blocks::filter`].
///
/// # Safety
/// As the C function.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_free() {
    naked_asm!(
        ".cfi_startproc",
        look_into_filter!(),
        "jne 2f",
        "jmp qword ptr [rip + {real} + {free}]",
        "2:",
        "jmp {target}",
        ".cfi_endproc",
        filter = sym FILTER,
        multiplier = const FILTER_MULTIPLIER,
        mask_before = const MASK_BEFORE,
        real = sym cgoheap_real,
        free = const offset_of!(Real, free),
        target = sym target::free,
    )
}

/// Books a block that Rust code got from its allocator: the block and its size. See [`super::global_alloc`].
///
/// # Safety
/// The block is null or new.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_rust_allocated() {
    naked_asm!(
        ".cfi_startproc",
        count_down!("rsi"),
        "ret",
        "2:",
        call_with_registers!(),
        ".cfi_endproc",
        threshold = sym THRESHOLD,
        target = sym super::rust::allocated,
    )
}

/// Forgets a block that Rust code is about to free.
///
/// # Safety
/// The block is live.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_rust_freeing() {
    naked_asm!(
        ".cfi_startproc",
        look_into_filter!(),
        "jne 2f",
        "ret",
        "2:",
        "jmp {target}",
        ".cfi_endproc",
        filter = sym FILTER,
        multiplier = const FILTER_MULTIPLIER,
        mask_before = const MASK_BEFORE,
        target = sym super::rust::freeing,
    )
}
