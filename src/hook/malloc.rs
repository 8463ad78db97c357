//! The malloc family behind the entries: each function calls the backing function and records what it did.
//!
//! Each has its C name's arguments in [`Call`], the `_at` forms three more: file, line and function of the macro. Results
//! and errno are the backing function's, always.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::backing::backing;
use crate::record::{forget, put_back, record};
use crate::sys::call::Call;
use crate::tables::stacks::SiteView;

/// The site in the arguments from `first` on.
///
/// # Safety
/// If the file is not null, file and function are zero-terminated strings, as the header's macros pass them.
unsafe fn site<'a>(call: &Call, first: usize) -> Option<SiteView<'a>> {
    // SAFETY: passed on to the caller.
    unsafe {
        site_of(
            call.pointer(first).cast(),
            call.integer(first + 1) as c_int,
            call.pointer(first + 2).cast(),
        )
    }
}

/// The site that a macro described.
///
/// # Safety
/// As for [`site`].
pub unsafe fn site_of<'a>(file: *const c_char, line: c_int, function: *const c_char) -> Option<SiteView<'a>> {
    if file.is_null() {
        return None;
    }
    // SAFETY: zero-terminated strings, says the caller; they are read before the call returns.
    unsafe {
        let function = if function.is_null() {
            &[]
        } else {
            CStr::from_ptr(function).to_bytes()
        };
        Some(SiteView {
            file: CStr::from_ptr(file).to_bytes(),
            line: line as u32,
            function,
        })
    }
}

/// Defines the plain and the `_at` form of a function whose own arguments number `$count`.
macro_rules! both_forms {
    ($($plain:ident, $at:ident, $count:literal, $body:ident;)*) => {
        $(
            pub(super) unsafe extern "C" fn $plain(call: &Call) -> *mut c_void {
                // SAFETY: the caller of the hook keeps the contract of the C function.
                unsafe { $body(call, |_| None) }
            }
            pub(super) unsafe extern "C" fn $at(call: &Call) -> *mut c_void {
                // SAFETY: as above; the macros pass file, line and function behind the function's own arguments.
                unsafe { $body(call, |call| site(call, $count)) }
            }
        )*
    };
}

both_forms! {
    malloc, malloc_at, 1, any_malloc;
    calloc, calloc_at, 2, any_calloc;
    realloc, realloc_at, 2, any_realloc;
    reallocarray, reallocarray_at, 3, any_reallocarray;
    strdup, strdup_at, 1, any_strdup;
    strndup, strndup_at, 2, any_strndup;
    wcsdup, wcsdup_at, 1, any_wcsdup;
    posix_memalign, posix_memalign_at, 3, any_posix_memalign;
    aligned_alloc, aligned_alloc_at, 2, any_aligned_alloc;
    memalign, memalign_at, 2, any_memalign;
    valloc, valloc_at, 1, any_valloc;
}

type SiteOf<'a> = fn(&Call) -> Option<SiteView<'a>>;

unsafe fn any_malloc(call: &Call, site: SiteOf) -> *mut c_void {
    let size = call.size(0);
    // SAFETY: malloc takes any size.
    let block = unsafe { (backing().malloc)(size) };
    record(block, size, call.registers(), || site(call));
    block
}

unsafe fn any_calloc(call: &Call, site: SiteOf) -> *mut c_void {
    let (count, size) = (call.size(0), call.size(1));
    // SAFETY: calloc takes any sizes, and refuses a product that overflows.
    let block = unsafe { (backing().calloc)(count, size) };
    record(block, count.saturating_mul(size), call.registers(), || site(call));
    block
}

/// The order for every function that moves a block: forget, call, record or put back.
fn moving(
    old: *mut c_void,
    size: usize,
    call: &Call,
    site: SiteOf,
    call_backing: impl FnOnce() -> *mut c_void,
) -> *mut c_void {
    let forgotten = forget(old);
    let block = call_backing();
    if let Some(entry) = forgotten
        // realloc(p, 0) frees p and returns null; every other null means failure, and p is still there.
        && block.is_null()
        && size != 0
    {
        put_back(entry);
    }
    // A call that failed is charged too, as on the fast path.
    record(block, size, call.registers(), || site(call));
    block
}

unsafe fn any_realloc(call: &Call, site: SiteOf) -> *mut c_void {
    let (old, size) = (call.pointer(0), call.size(1));
    // SAFETY: the program hands over a block of its own, or null.
    moving(old, size, call, site, || unsafe { (backing().realloc)(old, size) })
}

unsafe fn any_reallocarray(call: &Call, site: SiteOf) -> *mut c_void {
    let (old, count, size) = (call.pointer(0), call.size(1), call.size(2));
    // SAFETY: as in `any_realloc`; a product that overflows is refused, and the block stays.
    moving(old, count.saturating_mul(size), call, site, || unsafe {
        (backing().reallocarray)(old, count, size)
    })
}

unsafe fn any_strdup(call: &Call, site: SiteOf) -> *mut c_void {
    // SAFETY: the program passes a zero-terminated string.
    let text = unsafe { CStr::from_ptr(call.pointer(0).cast()) }.to_bytes();
    duplicate(text, 1, call, site)
}

unsafe fn any_strndup(call: &Call, site: SiteOf) -> *mut c_void {
    let (text, most) = (call.pointer(0), call.size(1));
    let text: *const u8 = text.cast();
    // SAFETY: the program passes a string that is zero-terminated or at least `most` long; nothing behind its end is read.
    let text = unsafe {
        let length = (0..most).find(|&index| *text.add(index) == 0).unwrap_or(most);
        core::slice::from_raw_parts(text, length)
    };
    duplicate(text, 1, call, site)
}

unsafe fn any_wcsdup(call: &Call, site: SiteOf) -> *mut c_void {
    const WIDTH: usize = size_of::<libc::wchar_t>();
    let text: *const libc::wchar_t = call.pointer(0).cast();
    // SAFETY: the program passes a string that ends with a zero; nothing behind it is read.
    let text = unsafe {
        let length = (0..).find(|&index| *text.add(index) == 0).unwrap_or(0);
        core::slice::from_raw_parts(text.cast::<u8>(), length * WIDTH)
    };
    duplicate(text, WIDTH, call, site)
}

/// A copy of `text`, and `zeros` zeros behind it, in a block of its own.
fn duplicate(text: &[u8], zeros: usize, call: &Call, site: SiteOf) -> *mut c_void {
    let size = text.len() + zeros;
    // SAFETY: malloc takes any size.
    let block = unsafe { (backing().malloc)(size) };
    if !block.is_null() {
        // SAFETY: the new block has room for the text and its zeros.
        unsafe {
            core::ptr::copy_nonoverlapping(text.as_ptr(), block.cast(), text.len());
            core::ptr::write_bytes(block.cast::<u8>().add(text.len()), 0, zeros);
        }
    }
    record(block, size, call.registers(), || site(call));
    block
}

unsafe fn any_posix_memalign(call: &Call, site: SiteOf) -> *mut c_void {
    let (out, alignment, size) = (call.pointer(0).cast::<*mut c_void>(), call.size(1), call.size(2));
    // SAFETY: the program passes a place for the result; a bad alignment is refused.
    let result = unsafe { (backing().posix_memalign)(out, alignment, size) };
    if result == 0 {
        // SAFETY: on success the result was written.
        record(unsafe { *out }, size, call.registers(), || site(call));
    }
    result as isize as *mut c_void
}

unsafe fn any_aligned_alloc(call: &Call, site: SiteOf) -> *mut c_void {
    let (alignment, size) = (call.size(0), call.size(1));
    // SAFETY: a bad alignment is refused.
    let block = unsafe { (backing().aligned_alloc)(alignment, size) };
    record(block, size, call.registers(), || site(call));
    block
}

unsafe fn any_memalign(call: &Call, site: SiteOf) -> *mut c_void {
    let (alignment, size) = (call.size(0), call.size(1));
    // SAFETY: as for aligned_alloc.
    let block = unsafe { (backing().memalign)(alignment, size) };
    record(block, size, call.registers(), || site(call));
    block
}

unsafe fn any_valloc(call: &Call, site: SiteOf) -> *mut c_void {
    let size = call.size(0);
    // SAFETY: valloc takes any size.
    let block = unsafe { (backing().valloc)(size) };
    record(block, size, call.registers(), || site(call));
    block
}

/// `pvalloc`, which no macro redirects: it is called only where the whole process is captured.
pub(super) unsafe extern "C" fn pvalloc(call: &Call) -> *mut c_void {
    let size = call.size(0);
    // SAFETY: pvalloc takes any size.
    let block = unsafe { (backing().pvalloc)(size) };
    record(block, size, call.registers(), || None);
    block
}

/// The slow path of free: the filter has something at this address's slot.
pub(super) unsafe extern "C" fn free(block: *mut c_void) {
    forget(block);
    // SAFETY: the program hands over a block of its own, or null.
    unsafe { (backing().free)(block) }
}

/// `malloc_usable_size`: the backing allocator's, pointers being its own.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: the caller keeps the contract.
    unsafe { (backing().malloc_usable_size)(block) }
}

/// Records a block that C code of ours got from the backing allocator: see `variadic.c`. Leaves errno alone.
///
/// # Safety
/// `file` and `function` are zero-terminated strings if `file` is not null; the registers are those of a caller that is
/// still on the stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cgoheap_internal_adopt(
    block: *mut c_void,
    size: usize,
    caller: &crate::sys::registers::Registers,
    file: *const c_char,
    line: c_int,
    function: *const c_char,
) {
    // SAFETY: passed on to the caller.
    record(block, size, *caller, || unsafe { site_of(file, line, function) });
}

/// Enters the guard for C code of ours: returns what [`cgoheap_internal_unguard`] wants back.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_internal_guard() -> u64 {
    let state = crate::sys::thread::state();
    // SAFETY: the calling thread's own state.
    unsafe { core::mem::replace(&mut (*state).countdown, crate::sys::guard::GUARD) }
}

/// Leaves the guard.
#[unsafe(no_mangle)]
pub extern "C" fn cgoheap_internal_unguard(countdown: u64) {
    // SAFETY: the calling thread's own state.
    unsafe { (*crate::sys::thread::state()).countdown = countdown }
}
