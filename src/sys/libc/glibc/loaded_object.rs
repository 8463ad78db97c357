//! Which loaded object holds an address: `_dl_find_object` (2.35 and later), which takes no lock and allocates nothing.

use core::ffi::{c_char, c_int, c_void};
use core::ops::Range;
use core::ptr::null_mut;

/// `struct dl_find_object` of <dlfcn.h>, glibc 2.35, on processors where it has no member for a data base address.
#[repr(C)]
struct DlFindObject {
    flags: u64,
    map_start: *mut c_void,
    map_end: *mut c_void,
    link_map: *mut LinkMap,
    eh_frame: *mut c_void,
    reserved: [u64; 7],
}

/// The public beginning of `struct link_map` of <link.h>.
#[repr(C)]
struct LinkMap {
    addr: u64,
    name: *const c_char,
}

// SAFETY: the symbol has this signature in every glibc that has it.
unsafe extern "C" {
    fn _dl_find_object(address: *mut c_void, result: *mut DlFindObject) -> c_int;
}

/// What the loader says of an object.
pub struct LoadedObject {
    /// The addresses that it maps for it.
    pub map: Range<u64>,
    /// Address in memory minus address in the file.
    pub load_bias: u64,
    /// Null, or as long as the object is loaded a zero-terminated string: its file.
    pub name: *const c_char,
    /// Start of `.eh_frame_hdr`; 0 when there is none.
    pub unwind_header: u64,
}

/// The object that holds `address` now. It must stay loaded while the answer is used: its code is on the calling thread's
/// stack, or the loader's lock is held. Context: hook.
#[inline]
pub fn holding(address: u64) -> Option<LoadedObject> {
    let mut found = DlFindObject {
        flags: 0,
        map_start: null_mut(),
        map_end: null_mut(),
        link_map: null_mut(),
        eh_frame: null_mut(),
        reserved: [0; 7],
    };
    // SAFETY: `found` is a valid result buffer; any address may be asked for.
    if unsafe { _dl_find_object(address as *mut c_void, &mut found) } != 0 || found.link_map.is_null() {
        return None;
    }
    // SAFETY: the loader's entry is valid while the object is loaded, which the caller sees to.
    let (load_bias, name) = unsafe { ((*found.link_map).addr, (*found.link_map).name) };
    Some(LoadedObject {
        map: found.map_start as u64..found.map_end as u64,
        load_bias,
        name,
        unwind_header: found.eh_frame as u64,
    })
}
