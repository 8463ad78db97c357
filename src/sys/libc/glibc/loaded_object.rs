//! Which loaded object holds an address: `_dl_find_object` (2.35 and later), which takes no lock and allocates nothing, else
//! [`object_list`].
//!
//! And which file it is, as the loader saw it when it opened it: device and inode stand in its entry for the object, so that it
//! doesn't load one file twice (`l_file_id`; `l_dev` and `l_ino` before 2.23). Nothing public leads there, so the place is learnt:
//! it is where libc's entry has the two numbers that stat(2) tells of libc's file.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::size_of;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::object_list;
pub use super::object_list::{lock_for_fork, unlock_after_fork};
use crate::sys::arch::page_size;
use crate::sys::mapped_files::{FileState, state_of};
use crate::sys::readable::page_is_readable;

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
    dynamic: *const c_void,
    next: *const LinkMap,
    previous: *const LinkMap,
}

/// Where the file's two numbers stand in a `struct link_map`; 0 when that isn't known. Atomic, because a constructor may have started
/// threads before it is learnt; all entries look the same, so nothing else has to be seen with it.
static FILE_AT: AtomicUsize = AtomicUsize::new(0);

/// Gets ready for [`holding`]. Context: outside hooks, in a constructor.
pub fn learn() {
    if cgoheap_internal_has_find_object() == 0 {
        object_list::learn();
    } else {
        learn_where_files_are();
    }
}

/// Finds out where entries have their file. Without a file system, or with another libc's layout, files stay unknown. Context: outside
/// hooks, at the start.
fn learn_where_files_are() {
    /// Bytes of an entry that are searched. glibc 2.36's is 1152, with the numbers in its last third.
    const LONGEST: usize = 4096;
    const PAGE: u64 = page_size::SMALLEST as u64;
    let mut found = NOTHING;
    if !ask(learn_where_files_are as *const () as u64, &mut found) {
        return;
    }
    let mut entry = found.link_map.cast_const();
    // SAFETY: entries of the loader's list, which stay: this is a constructor, and the loader is busy with it.
    while let Some(previous) = unsafe { (*entry).previous.as_ref() } {
        entry = previous;
    }
    // Any object of the list will do. One without a path, as the program, is of no use.
    let mut learnt = 0;
    while !entry.is_null() {
        // SAFETY: as above; the name is zero-terminated, and words are read as far as they are readable.
        unsafe {
            let name = (*entry).name;
            let is_path = !name.is_null() && name.cast::<u8>().read() == b'/';
            let file = if is_path {
                state_of(CStr::from_ptr(name)).map(|file| file.device_and_inode)
            } else {
                None
            };
            if let Some([device, inode]) = file.filter(|[_, inode]| *inode != 0) {
                let words = entry.cast::<u64>();
                let has_file = |word: usize| *words.add(word) == device && *words.add(word + 1) == inode;
                let is_readable = |word: usize| {
                    // The last byte of two words; only in a page's beginning does it say anything new.
                    let last = words.add(word + 2).addr() as u64 - 1;
                    last % PAGE >= 16 || page_is_readable(last)
                };
                let found = match learnt {
                    0 => (size_of::<LinkMap>() / 8..LONGEST / 8)
                        .take_while(|&word| is_readable(word))
                        .find(|&word| has_file(word)),
                    word => Some(word).filter(|&word| is_readable(word) && has_file(word)),
                };
                match found {
                    Some(word) => learnt = word,
                    // The loader's own entry has none, as others that it didn't open.
                    None if learnt != 0 && !is_empty_at(words, learnt) => return,
                    None => {}
                }
            }
            entry = (*entry).next;
        }
    }
    FILE_AT.store(learnt * 8, Relaxed);
}

/// # Safety
/// Two words are there.
unsafe fn is_empty_at(words: *const u64, word: usize) -> bool {
    // SAFETY: says the caller.
    unsafe { *words.add(word) == 0 && *words.add(word + 1) == 0 }
}

// SAFETY: in newer.c; glibc's function has this signature wherever there is one.
unsafe extern "C" {
    /// Whether glibc has `_dl_find_object`.
    safe fn cgoheap_internal_has_find_object() -> c_int;
    /// That, or [`cgoheap_internal_find_in_list`].
    fn cgoheap_internal_find_object(address: *mut c_void, result: *mut DlFindObject) -> c_int;
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
    /// A number for its file when it was opened, made of device and inode; 0 when that isn't known.
    pub file: u64,
}

impl LoadedObject {
    /// The state now of the file that was opened, if it still has that name. Context: hook.
    ///
    /// # Safety
    /// The object is still loaded.
    pub unsafe fn file_state(&self) -> Option<FileState> {
        // SAFETY: says the caller.
        let state = unsafe { state_of_name(self.name)? };
        let [device, inode] = state.device_and_inode;
        (self.file != 0 && self.file == file_number(device, inode)).then_some(state)
    }
}

/// The state now of whatever file has this name.
///
/// # Safety
/// It is null or the [`LoadedObject::name`] of an object that is loaded.
pub unsafe fn state_of_name(name: *const c_char) -> Option<FileState> {
    if name.is_null() {
        return None;
    }
    // SAFETY: the loader's names are zero-terminated.
    state_of(unsafe { CStr::from_ptr(name) })
}

fn file_number(device: u64, inode: u64) -> u64 {
    device.rotate_left(40) ^ inode
}

/// What the loader says of an address; false when no object holds it. What comes from the list has no entry of the loader's, but a
/// name.
#[inline]
fn ask(address: u64, found: &mut DlFindObject) -> bool {
    // SAFETY: a valid result buffer; any address may be asked for.
    unsafe {
        cgoheap_internal_find_object(address as *mut c_void, found) == 0
            && (!found.link_map.is_null() || found.reserved[NAME] != 0)
    }
}

/// Where `reserved` of an answer by the list, which glibc has no use for, has the load bias and the name.
const BIAS: usize = 0;
const NAME: usize = 1;

const NOTHING: DlFindObject = DlFindObject {
    flags: 0,
    map_start: null_mut(),
    map_end: null_mut(),
    link_map: null_mut(),
    eh_frame: null_mut(),
    reserved: [0; 7],
};

/// The object that holds `address` now. It must stay loaded while the answer is used: its code is on the calling thread's
/// stack, or the loader's lock is held. Context: hook.
#[inline]
pub fn holding(address: u64) -> Option<LoadedObject> {
    let mut found = NOTHING;
    if !ask(address, &mut found) {
        return None;
    }
    let entry = found.link_map.cast_const();
    let file_at = FILE_AT.load(Relaxed);
    // SAFETY: the loader's entry is valid while the object is loaded, which the caller sees to; so far it goes, if that was learnt.
    let (load_bias, name, file) = unsafe {
        if entry.is_null() {
            return Some(LoadedObject {
                map: found.map_start as u64..found.map_end as u64,
                load_bias: found.reserved[BIAS],
                name: found.reserved[NAME] as *const c_char,
                unwind_header: found.eh_frame as u64,
                file: 0,
            });
        }
        let file = match file_at {
            0 => 0,
            at => {
                let words = entry.byte_add(at).cast::<u64>();
                file_number(*words, *words.add(1))
            }
        };
        ((*entry).addr, (*entry).name, file)
    };
    Some(LoadedObject {
        map: found.map_start as u64..found.map_end as u64,
        load_bias,
        name,
        unwind_header: found.eh_frame as u64,
        file,
    })
}

/// What [`holding`] says is right for the objects whose code is on the calling thread's stack at this moment. To be called before a walk;
/// costs a call, unless it's the list that is asked. Context: hook.
#[inline]
pub fn renew() {
    if cgoheap_internal_has_find_object() == 0 {
        object_list::renew();
    }
}

/// `_dl_find_object` by the list: 0, and `result` is filled in, when an object holds the address. Context: hook.
///
/// # Safety
/// `result` can be written to.
#[unsafe(no_mangle)]
unsafe extern "C" fn cgoheap_internal_find_in_list(address: *mut c_void, result: *mut DlFindObject) -> c_int {
    const NOT_FOUND: c_int = -1;
    let Some(object) = object_list::find(address as u64) else {
        return NOT_FOUND;
    };
    // SAFETY: says the caller.
    let result = unsafe { &mut *result };
    result.map_start = object.map.start as *mut c_void;
    result.map_end = object.map.end as *mut c_void;
    result.link_map = null_mut();
    result.eh_frame = object.unwind_header as *mut c_void;
    (result.reserved[BIAS], result.reserved[NAME]) = (object.load_bias, object.name);
    0
}

/// For newer.c: see [`renew`].
#[unsafe(no_mangle)]
extern "C" fn cgoheap_internal_renew_list() {
    object_list::renew();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn an_object_has_the_file_that_it_was_opened_from() {
        learn_where_files_are();
        let libc = holding(libc::getpid as *const () as u64).unwrap();
        // SAFETY: libc stays loaded.
        let path = unsafe { CStr::from_ptr(libc.name) };
        let file = std::fs::metadata(std::ffi::OsStr::from_bytes(path.to_bytes())).unwrap();
        assert_eq!(libc.file, file_number(file.dev(), file.ino()));
    }
}
