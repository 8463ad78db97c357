//! The C functions that calls come in by: for each function of the family its entry, put together from the pieces of
//! [`crate::sys::call`].
//!
//! malloc, calloc, realloc and free answer for themselves when no sample falls: a handful of instructions that end in a jump to
//! the backing function. Else, and for every other function always, the entry hands the call over to [`super::malloc`], with the
//! caller's registers.

use core::mem::offset_of;

use super::backing::{Backing, cgoheap_backing};
use super::malloc as target;
use crate::record::sampler::THRESHOLD;
use crate::sys::call::{
    argument, call_aligned, call_with_registers, count_down, entries, entry, look_into_filter, product, slow,
    slow_if_found, to_backing, to_caller,
};
use crate::tables::blocks::filter::{FILTER, FILTER_MULTIPLIER, MASK_BEFORE};

/// What runs before main. A linker takes from an archive only what is referred to, and every program that has a hook links this
/// file.
#[used]
static AT_START: [&extern "C" fn(); 3] = [
    &crate::control::fork::AT_START,
    &crate::tables::objects::AT_START,
    &crate::sys::clock::AT_START,
];

/// Entries of functions that allocate, with an unsampled path that ends at the backing function. See
/// [`crate::record::sampler`].
macro_rules! counting_entries {
    ($($(#[$doc:meta])* $name:ident => $target:path, $backing:ident, [$($unsampled:expr),*] $(, { $($operands:tt)* })?;)*) => {
        $(
            entry! {
                $(#[$doc])*
                $name: [$($unsampled,)* to_backing!(), slow!(), call_with_registers!()],
                {
                    threshold = sym THRESHOLD,
                    backing = sym cgoheap_backing,
                    offset = const offset_of!(Backing, $backing),
                    target = sym $target,
                    $($($operands)*)?
                }
            }
        )*
    };
}

counting_entries! {
    /// `malloc`.
    cgoheap_malloc => target::malloc, malloc, [count_down!(argument!(0))];
    /// `malloc`, from the header's macro.
    cgoheap_malloc_at => target::malloc_at, malloc, [count_down!(argument!(0))];
    /// `calloc`.
    cgoheap_calloc => target::calloc, calloc, [product!(), count_down!(argument!(product))];
    /// `calloc`, from the header's macro.
    cgoheap_calloc_at => target::calloc_at, calloc, [product!(), count_down!(argument!(product))];
    /// `realloc`: the old block must not be sampled either.
    cgoheap_realloc => target::realloc, realloc, [look_into_filter!(), slow_if_found!(), count_down!(argument!(1))],
        { filter = sym FILTER, multiplier = const FILTER_MULTIPLIER, mask_before = const MASK_BEFORE };
    /// `realloc`, from the header's macro.
    cgoheap_realloc_at => target::realloc_at, realloc, [look_into_filter!(), slow_if_found!(), count_down!(argument!(1))],
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
    /// `wcsdup`.
    cgoheap_wcsdup => target::wcsdup;
    /// `wcsdup`, from the header's macro.
    cgoheap_wcsdup_at => target::wcsdup_at;
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

entry! {
    /// `free`: one load and one comparison for a block that was not sampled. See [`crate::tables::blocks::filter`].
    cgoheap_free: [look_into_filter!(), slow_if_found!(), to_backing!(), slow!(), call_aligned!()],
    {
        filter = sym FILTER,
        multiplier = const FILTER_MULTIPLIER,
        mask_before = const MASK_BEFORE,
        backing = sym cgoheap_backing,
        offset = const offset_of!(Backing, free),
        target = sym target::free,
    }
}

entry! {
    /// Records a block that Rust code got from its allocator: the block, null or new, and its size. See
    /// [`super::global_alloc`].
    cgoheap_rust_allocated: [count_down!(argument!(1)), to_caller!(), slow!(), call_with_registers!()],
    { threshold = sym THRESHOLD, target = sym super::rust::allocated }
}

entry! {
    /// Forgets a live block that Rust code is about to free.
    cgoheap_rust_freeing: [look_into_filter!(), slow_if_found!(), to_caller!(), slow!(), call_aligned!()],
    {
        filter = sym FILTER,
        multiplier = const FILTER_MULTIPLIER,
        mask_before = const MASK_BEFORE,
        target = sym super::rust::freeing,
    }
}
