//! Loaded objects: which one holds an address now, and a registry that remembers each as long as the process lives.
//!
//! The question is put to the loader ([`loaded_object`]), without a lock and without allocating, for every stack anew. So there
//! is no list of objects to keep fresh: a library that was opened a moment ago is found, and one that was closed is not. A frame's object can't go away while we look at it: its code is on our stack.
//!
//! Of a fully static program, and of one with gaps, the loader knows less: see [`static_program`].
//!
//! The registry gives each object a number that is never used again. Two objects are the same when the file that the loader opened
//! (device and inode), their length, the beginning of the unwind table and the build id agree; where there is no build id, or no file or index of unwind tables, the addresses
//! too, and without a build id the path and the beginnings of their tables. Plugins made from one template are alike in all but these, and so is a plugin that is
//! made anew under its name, and the loader puts one where the other was. A file that is written over has the same number, and a new
//! one may get a number that has just become free; so the file of an object without a build id is looked at again now and then ([`Written`]). (That the loader has an entry at the same place says nothing: it
//! comes from malloc, so another object's may lie at the same address, and the same object's, opened again, elsewhere.)
//!
//! A library that is closed and opened again is often mapped elsewhere. It is the same object then, and its frames are those of the place
//! that it was first seen at ([`frame_elsewhere`]): so a plugin that is opened, used and closed all day has one number, and its stacks
//! are there once, rather than once for each place.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use once_cell::race::OnceRef;

mod dynamic;
mod index;
mod segments;
mod static_program;
pub use dynamic::{DynamicSymbols, dynamic_symbols};
pub use segments::Segments;
pub use static_program::AT_START;

use crate::sys::clock::monotonic_coarse_nanos;
use crate::sys::mapped_files::FileState;
use crate::sys::page_size::SMALLEST as PAGE;
use crate::sys::readable::page_is_readable;
use crate::sys::{loaded_object, mapped_files, process, spare_stack};
use crate::tables::arena::ARENA;
use crate::tables::chain::{self, Link};
use crate::tables::counters::{COUNTERS, Counters};
use crate::tables::frame::{Frame, ObjectId};
use crate::tables::hash::mix;

/// Objects that the registry holds at most; what is loaded beyond has no mapping in the profile.
pub const MAX_OBJECTS: usize = ObjectId::GO.0 as usize;
const BUCKETS: usize = 4096;
const LONGEST_PATH: usize = 4096;

/// A loaded object that some frame lay in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its number in frames.
    pub id: ObjectId,
    /// First address of the executable segment in memory.
    pub start: u64,
    /// End of that segment, exclusive.
    pub limit: u64,
    /// Offset in the file that `start` was mapped from.
    pub file_offset: u64,
    /// Address in memory minus address in the file's symbol table (0 for a program that isn't PIE).
    pub load_bias: u64,
    /// File name as the dynamic loader knew it; for the program itself the target of `/proc/self/exe`. A relative one as in
    /// `/proc/self/maps`, as long as the object is loaded.
    pub path: String,
    /// Contents of the `NT_GNU_BUILD_ID` note; empty when there is none.
    pub build_id: Vec<u8>,
    /// Whether the object is still loaded at that place: only then may the process's own symbols name its addresses.
    pub loaded: bool,
}

/// What the registry keeps of an object.
pub struct Entry {
    /// [`Loaded::identity`], or [`Loaded::identity_anywhere`] if that does.
    identity: u64,
    next: *mut Entry,
    /// Its number in frames.
    pub id: ObjectId,
    /// First address that the loader maps for it.
    pub map_start: u64,
    /// End of that, exclusive.
    pub map_end: u64,
    /// Start of the executable segment.
    exec_start: u64,
    exec_end: u64,
    exec_offset: u64,
    load_bias: u64,
    /// `.eh_frame_hdr`, as long as the object is loaded, or an index of the same form ([`index`]).
    pub unwind_header: &'static [u8],
    /// What lies where.
    pub segments: Segments,
    path: &'static [u8],
    build_id: &'static [u8],
    /// Where the build id lies in the object's memory; 0 when it has none in its first page.
    build_id_at: u64,
    /// What there is of it in memory, for an object without a build id there.
    contents: Contents,
    /// Its file, for the same.
    written: Written,
}

impl Link for Entry {
    fn link(&mut self) -> &mut *mut Entry {
        &mut self.next
    }
    fn next(&self) -> *mut Entry {
        self.next
    }
}

/// Whether an object's file is still as it was. Two files may be alike in all that is in memory: of names of static functions nothing is.
#[derive(Default)]
struct Written {
    /// When it was registered; `None` when its file couldn't be found by its name.
    first: Option<FileState>,
    /// When it was last looked at, in nanoseconds of the coarse clock. Atomic, because any hook may look.
    looked_nanos: AtomicU64,
    /// The file has changed since, so what is loaded from now on is another object. Never taken back. Atomic, as above.
    again: AtomicBool,
}

impl Written {
    /// Time between two looks, which are a system call each.
    const PAUSE_NANOS: u64 = 10_000_000;

    /// Whether the file of an object that looks the same has been written to since. Context: hook.
    fn is_written_again(&self, loaded: &Loaded) -> bool {
        let Some(first) = self.first else { return false };
        if self.again.load(Relaxed) {
            return true;
        }
        let now = monotonic_coarse_nanos();
        if now.wrapping_sub(self.looked_nanos.load(Relaxed)) < Written::PAUSE_NANOS {
            return false;
        }
        self.looked_nanos.store(now, Relaxed);
        // SAFETY: the object is loaded.
        let state = unsafe { loaded_object::state_of_name(loaded.name) };
        // That it has the same number is a part of the object's identity; what has another one now is another file.
        let again = state.is_some_and(|now| now.device_and_inode == first.device_and_inode && now != first);
        if again {
            self.again.store(true, Relaxed);
        }
        again
    }
}

/// The beginnings of an object's tables: how long its file is, dynamic symbols, unwind tables. As far as they aren't written to while
/// the program runs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Contents {
    /// Whether the first page counts: there is the ELF header.
    first_page: bool,
    /// Whether what is left of the page counts where `.eh_frame_hdr` begins.
    unwind_page: bool,
    /// The sum of what counts; 0 when nothing does.
    sum: u64,
}

impl Entry {
    /// What the loader says, without a number.
    fn of(loaded: &Loaded) -> Entry {
        Entry {
            identity: loaded.identity,
            next: null_mut(),
            id: ObjectId::UNKNOWN,
            map_start: loaded.map_start,
            map_end: loaded.map_end,
            exec_start: loaded.map_start,
            exec_end: loaded.map_end,
            exec_offset: 0,
            load_bias: loaded.load_bias,
            unwind_header: &[],
            segments: Segments::NONE,
            path: &[],
            build_id: &[],
            build_id_at: 0,
            contents: Contents::default(),
            written: Written::default(),
        }
    }

    /// Gives an object without an index of its unwind tables one of ours.
    fn add_index(&mut self) {
        let bases = gimli::BaseAddresses::default().set_eh_frame_hdr(self.unwind_header.as_ptr() as u64);
        let tables = match gimli::EhFrameHdr::new(self.unwind_header, gimli::LittleEndian).parse(&bases, 8) {
            Ok(header) if header.table().is_some() => return,
            Ok(header) => match header.eh_frame_ptr() {
                gimli::Pointer::Direct(start) => self.bytes_from(start),
                gimli::Pointer::Indirect(_) => None,
            },
            Err(_) => index::find_tables(&self.segments),
        };
        if let Some(index) = tables.and_then(|tables| index::build(tables, &self.segments)) {
            self.unwind_header = index;
        }
    }

    /// What lies at `address` to the end of its segment, if it can be read. The reference is 'static in name only: it is good
    /// while the object is loaded. Context: hook.
    pub fn bytes_from(&self, address: u64) -> Option<&'static [u8]> {
        let segment = self.segments.readable(address)?;
        // SAFETY: inside a readable segment of the object, which is loaded: its code is on our stack.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, (segment.end - address) as usize) })
    }
}

/// [`chain`]s of entries by identity. Atomic, because hooks look while others add.
static BUCKET: [AtomicPtr<Entry>; BUCKETS] = [const { AtomicPtr::new(null_mut()) }; BUCKETS];
/// Entries by number.
static BY_ID: [AtomicPtr<Entry>; MAX_OBJECTS] = [const { AtomicPtr::new(null_mut()) }; MAX_OBJECTS];
static NEXT_ID: AtomicU32 = AtomicU32::new(1);
/// The program itself, which is never closed; empty until one of its frames is seen.
static PROGRAM: OnceRef<Entry> = OnceRef::new();

// SAFETY: entries are written before they are published, and only read after that; `next` leads to such an entry.
unsafe impl Sync for Entry {}

struct Loaded {
    map_start: u64,
    map_end: u64,
    load_bias: u64,
    /// Null, or as long as the object is loaded a zero-terminated string.
    name: *const c_char,
    unwind_header: u64,
    /// A hash of its place and of what is there.
    identity: u64,
    /// The same but for the place; `None` when it isn't known which file it is.
    identity_anywhere: Option<u64>,
}

/// Mixes in the beginning of an unwind table's header: its first 32 bytes, or as many as there are.
///
/// ```text
///   0  version, then how the next three are encoded: a pointer, how many entries, the entries
///   4  pointer to .eh_frame
///   8  entries
///  12  8 bytes for each
/// ```
///
/// # Safety
/// At `header` lies an `.eh_frame_hdr` (Linux Standard Base, "Exception Frames").
#[inline(never)] // its room is not to be part of a walk's
unsafe fn mix_header(identity: u64, header: u64) -> u64 {
    /// Version 1 in the encodings that all linkers use, and in those of a header without entries.
    const USUAL: u32 = u32::from_le_bytes([1, 0x1b, 0x03, 0x3b]);
    const NO_ENTRIES: u32 = u32::from_le_bytes([1, 0x1b, 0xff, 0xff]);
    // SAFETY: the words asked for are there: the first always, the others by what it says.
    let word = |index: u64| unsafe { ((header + 4 * index) as *const u32).read_unaligned() };
    let words = match word(0) {
        USUAL => u64::from(word(2)).saturating_mul(2).saturating_add(3).min(8),
        NO_ENTRIES => 2,
        _ => 1,
    };
    let pair = |index: u64| {
        let second = if index + 1 < words { word(index + 1) } else { 0 };
        u64::from(word(index)) | u64::from(second) << 32
    };
    (0..words)
        .step_by(2)
        .fold(identity, |identity, index| mix(identity, pair(index)))
}

fn ask_loader(address: u64) -> Option<Loaded> {
    if let Some(program) = static_program::holding(address) {
        return Some(program);
    }
    let found = loaded_object::holding(address)?;
    let mut loaded = Loaded::new(found.map, found.load_bias, found.name, found.unwind_header);
    // The loader's numbers are those of a moment, but the same for all objects of one file, and others for another's.
    loaded.identity_anywhere = (found.file != 0).then(|| mix(loaded.identity, found.file));
    loaded.identity = mix(mix(loaded.identity, found.file), loaded.map_start);
    Some(loaded)
}

impl Loaded {
    fn new(map: Range<u64>, load_bias: u64, name: *const c_char, unwind_header: u64) -> Loaded {
        let mut identity = mix(0, map.end - map.start);
        identity = mix(identity, unwind_header.wrapping_sub(map.start));
        if unwind_header != 0 {
            // SAFETY: the .eh_frame_hdr of an object that is loaded (or is ours).
            identity = unsafe { mix_header(identity, unwind_header) };
        }
        Loaded {
            map_start: map.start,
            map_end: map.end,
            load_bias,
            name,
            unwind_header,
            identity,
            identity_anywhere: None,
        }
    }

    /// Its file as the loader knows it; empty for the program itself.
    fn path(&self) -> &[u8] {
        let name = match self.name {
            name if name.is_null() => &[],
            // SAFETY: the object is loaded: see the head of this file. Then its name is there.
            name => unsafe { CStr::from_ptr(name).to_bytes() },
        };
        name.get(..LONGEST_PATH).unwrap_or(name)
    }

    /// Whether it is that object, here or at another place.
    fn is(&self, entry: &Entry) -> bool {
        if entry.identity != self.identity && Some(entry.identity) != self.identity_anywhere {
            return false;
        }
        if entry.build_id_at == 0 {
            // SAFETY: the object is loaded, and its mapping and unwind tables begin where the registered one's did.
            let is_alike = self.path() == entry.path && unsafe { entry.contents.again(self) } == entry.contents;
            return is_alike && !entry.written.is_written_again(self);
        }
        let at = entry.build_id_at - entry.map_start + self.map_start;
        // SAFETY: the place lies in the first page of a mapping that is as long as the registered one's was, and an object's first
        // page, which holds its ELF header, is readable.
        let build_id = unsafe { core::slice::from_raw_parts(at as *const u8, entry.build_id.len()) };
        build_id == entry.build_id
    }

    /// The registered object that this is.
    #[inline(never)] // its room is not to be part of a walk's
    fn known(&self) -> Option<&'static Entry> {
        let find = |identity| {
            // SAFETY: what a bucket leads to; its chain ends with null.
            unsafe { chain::find(bucket_of(identity).load(Acquire), null_mut(), |entry| self.is(entry)) }
        };
        self.identity_anywhere.and_then(find).or_else(|| find(self.identity))
    }
}

fn bucket_of(identity: u64) -> &'static AtomicPtr<Entry> {
    &BUCKET[(identity >> 50) as usize % BUCKETS]
}

/// The registered object that holds `address` now; registers it when it is new. `None` when no object holds it, the
/// registry is full, or it is registered for another place. Context: hook.
#[inline]
pub fn find(address: u64) -> Option<&'static Entry> {
    match PROGRAM.get() {
        Some(program) if (program.map_start..program.map_end).contains(&address) => Some(program),
        _ => find_by_loader(address),
    }
}

/// The frame of `ip`, which lies in no object that [`find`] has; and whether one holds it nevertheless. One that is registered for
/// another place has the frame that it would have there. Context: hook.
#[cold]
#[inline(never)] // its room is not to be part of a walk's
pub fn frame_elsewhere(ip: u64) -> (Frame, bool) {
    let unknown = Frame::new(ip, ObjectId::UNKNOWN);
    let Some(loaded) = &ask_loader(ip.wrapping_sub(1)) else {
        return (unknown, false);
    };
    let there = |entry: &Entry| {
        Frame::new(
            ip.wrapping_sub(loaded.map_start).wrapping_add(entry.map_start),
            entry.id,
        )
    };
    (loaded.known().map_or(unknown, there), true)
}

/// The object that holds `address` now, described for this one step: what there is for an object when the registry is full, and for
/// one that is registered for another place. Context: hook.
#[cold]
pub fn describe_here(address: u64) -> Option<Entry> {
    let loaded = ask_loader(address)?;
    let mut entry = Entry::of(&loaded);
    read_program_headers(&loaded, &mut entry, false);
    static_program::add_tables(&loaded, &mut entry);
    Some(entry)
}

/// Has to be called before a walk: then [`find`] knows the objects whose code is on the calling thread's stack. Context: hook.
#[inline]
pub fn renew() {
    loaded_object::renew();
}

#[inline(never)] // its room is not to be part of a walk's
fn find_by_loader(address: u64) -> Option<&'static Entry> {
    let loaded = &ask_loader(address); // taken apart where it is: a copy had to be on the stack too
    let loaded = loaded.as_ref()?;
    let entry = loaded.known().or_else(|| add(loaded))?;
    (entry.map_start == loaded.map_start).then_some(entry)
}

/// Registers an object that is new. Once for each object, and not on the caller's stack.
#[cold]
#[inline(never)]
fn add(loaded: &Loaded) -> Option<&'static Entry> {
    spare_stack::run(|| add_here(loaded)).flatten()
}

fn add_here(loaded: &Loaded) -> Option<&'static Entry> {
    let Some(entry) = register(loaded) else {
        Counters::add(&COUNTERS.modules_table_full);
        return None;
    };
    let bucket = bucket_of(entry.identity);
    // SAFETY: a bucket is only ever given to this. Whoever comes second with the same object wastes a number, once.
    let (entry, is_new) = unsafe { chain::find_or_add(bucket, |entry| loaded.is(entry), || Some(entry))? };
    if is_new {
        // Not as a static program is known before main, without its tables.
        if entry.path.is_empty() && !entry.unwind_header.is_empty() {
            let _ = PROGRAM.set(entry); // another thread may have been first, with the same
        }
        if let Some(slot) = BY_ID.get(entry.id.0 as usize) {
            slot.store(core::ptr::from_ref(entry).cast_mut(), Release);
        }
    }
    Some(entry)
}

fn register(loaded: &Loaded) -> Option<&'static mut Entry> {
    if NEXT_ID.load(Relaxed) as usize >= MAX_OBJECTS {
        return None;
    }
    let mut entry = Entry::of(loaded);
    entry.path = ARENA.copy_bytes(loaded.path())?;
    read_program_headers(loaded, &mut entry, true);
    static_program::add_tables(loaded, &mut entry);
    entry.add_index();
    // At another place an index of ours is of no use.
    let has_own_tables = entry.unwind_header.is_empty() || entry.unwind_header.as_ptr() as u64 == loaded.unwind_header;
    if entry.build_id_at != 0
        && has_own_tables
        && let Some(identity) = loaded.identity_anywhere
    {
        entry.identity = identity;
    }
    let entry = ARENA.place(entry)?;
    let id = NEXT_ID.fetch_add(1, Relaxed);
    if id as usize >= MAX_OBJECTS {
        return None;
    }
    entry.id = ObjectId(id as u16);
    Some(entry)
}

/// Fills in what the ELF program headers say, read from the object's own memory. Without an ELF header at the start of
/// the mapping the whole mapping stays one executable segment, without unwind tables. The build id is copied only for an entry
/// that stays.
fn read_program_headers(loaded: &Loaded, entry: &mut Entry, stays: bool) {
    // SAFETY: the first segment of a loaded object is mapped from its file's start and is at least a page.
    let header = unsafe { &*(loaded.map_start as *const libc::Elf64_Ehdr) };
    if header.e_ident.get(..4) != Some(b"\x7fELF") || header.e_phentsize as usize != size_of::<libc::Elf64_Phdr>() {
        return;
    }
    let table = loaded.map_start.wrapping_add(header.e_phoff);
    let bytes = u64::from(header.e_phnum) * size_of::<libc::Elf64_Phdr>() as u64;
    if table < loaded.map_start || table.saturating_add(bytes) > loaded.map_end {
        return;
    }
    // SAFETY: the table lies in the mapped object, as just checked.
    let headers = unsafe { core::slice::from_raw_parts(table as *const libc::Elf64_Phdr, header.e_phnum as usize) };
    let mut contents = Contents::default();
    for segment in headers {
        let start = entry.load_bias.wrapping_add(segment.p_vaddr);
        let end = start.wrapping_add(segment.p_memsz);
        let inside = start >= loaded.map_start && start <= end && end <= loaded.map_end;
        match segment.p_type {
            libc::PT_LOAD if inside => {
                if segment.p_flags & libc::PF_X != 0 && entry.exec_offset == 0 && entry.exec_start == loaded.map_start {
                    entry.exec_start = start;
                    entry.exec_end = end;
                    entry.exec_offset = segment.p_offset;
                }
                entry.segments.add(start..end, segment.p_flags);
                // What lies in a segment's page is that segment's: the next one begins on another.
                let is_constant = segment.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R;
                contents.first_page |= is_constant && start == loaded.map_start;
                contents.unwind_page |= is_constant && (start..end).contains(&loaded.unwind_header);
            }
            libc::PT_NOTE if inside && stays => {
                // SAFETY: the note segment lies in the mapped object.
                let notes = unsafe { core::slice::from_raw_parts(start as *const u8, segment.p_memsz as usize) };
                if let Some(id) = build_id(notes) {
                    entry.build_id = ARENA.copy_bytes(id).unwrap_or(&[]);
                    let (at, first_page) = (id.as_ptr() as u64, loaded.map_start..loaded.map_start + PAGE as u64);
                    let known = !entry.build_id.is_empty()
                        && first_page.contains(&at)
                        && first_page.contains(&(at + id.len() as u64));
                    entry.build_id_at = if known { at } else { 0 };
                }
            }
            libc::PT_GNU_EH_FRAME if inside && start == loaded.unwind_header => {
                // SAFETY: the header lies in the mapped object. The reference is 'static in name only: it is read while
                // a frame of the object is being unwound, and then the object is loaded.
                entry.unwind_header =
                    unsafe { core::slice::from_raw_parts(start as *const u8, segment.p_memsz as usize) };
            }
            _ => {}
        }
    }
    if stays && entry.build_id_at == 0 {
        // SAFETY: the object is loaded, and these pages of it are readable.
        entry.contents = unsafe { contents.again(loaded) };
        // SAFETY: the object is loaded.
        entry.written.first =
            loaded_object::holding(loaded.map_start).and_then(|object| unsafe { object.file_state() });
        entry.written.looked_nanos = AtomicU64::new(monotonic_coarse_nanos());
    }
}

impl Contents {
    /// The same parts, as they are in this object.
    ///
    /// # Safety
    /// It is loaded, and the parts lie in readable pages.
    #[inline(never)] // its room is not to be part of a walk's
    unsafe fn again(self, loaded: &Loaded) -> Contents {
        let mut sum = 0;
        // SAFETY: says the caller.
        unsafe {
            if self.first_page {
                sum = rest_of_page(loaded.map_start, sum);
            }
            if self.unwind_page {
                sum = rest_of_page(loaded.unwind_header, sum);
            }
        }
        Contents { sum, ..self }
    }
}

/// Adds up what lies between `start` and the end of its page, but for a rest of less than 64 bytes.
///
/// # Safety
/// The page at `start` is readable.
unsafe fn rest_of_page(start: u64, sum: u64) -> u64 {
    type Row = [u64; 8];
    let start = start.next_multiple_of(8);
    let bytes = start.next_multiple_of(PAGE as u64) - start;
    let bytes = if start.is_multiple_of(PAGE as u64) {
        PAGE
    } else {
        bytes as usize
    };
    // SAFETY: says the caller; a multiple of 8 for words.
    let rows = unsafe { core::slice::from_raw_parts(start as *const Row, bytes / size_of::<Row>()) };
    // Fletcher's, in lanes: where a word stands makes a difference.
    let (mut sums, mut sums_of_sums) = (Row::default(), Row::default());
    for row in rows {
        for ((word, sum), sum_of_sums) in row.iter().zip(&mut sums).zip(&mut sums_of_sums) {
            *sum = sum.wrapping_add(*word);
            *sum_of_sums = sum_of_sums.wrapping_add(*sum);
        }
    }
    sums.into_iter().chain(sums_of_sums).fold(sum, mix)
}

/// The descriptor of the `NT_GNU_BUILD_ID` note among `notes` (ELF gABI, "Note Section").
pub fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let word = |at: usize| Some(u32::from_le_bytes(notes.get(at..at + 4)?.try_into().ok()?));
        let (name_size, size, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let name = notes.get(12..12usize.checked_add(name_size)?)?;
        let start = 12usize.checked_add(name_size.checked_next_multiple_of(4)?)?;
        let descriptor = notes.get(start..start.checked_add(size)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(descriptor);
        }
        notes = notes.get(start.checked_add(size.checked_next_multiple_of(4)?)?..)?;
    }
}

/// Gives out all numbers: what is found from now on is new to a full registry.
#[doc(hidden)]
pub fn fill_for_test() {
    NEXT_ID.store(MAX_OBJECTS as u32, Relaxed);
}

fn of_id(id: ObjectId) -> Option<&'static Entry> {
    // SAFETY: published entries live for ever.
    unsafe { BY_ID.get(id.0 as usize)?.load(Acquire).as_ref() }
}

/// What the profile needs of object `id`. Context: outside hooks.
pub fn describe(id: ObjectId) -> Option<Object> {
    let entry = of_id(id)?;
    let path = if entry.path.is_empty() && !entry.unwind_header.is_empty() {
        std::fs::read_link(OsStr::from_bytes(process::PROGRAM_FILE.to_bytes()))
            .map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    } else {
        String::from_utf8_lossy(entry.path).into_owned()
    };
    let loaded = is_loaded(entry);
    // Relative to a folder that the process may have left since. (Not linux-vdso.so.1, which has no file.)
    let is_relative = path.contains('/') && !path.starts_with('/');
    let path = match is_relative && loaded {
        true => mapped_path(entry.exec_start).unwrap_or(path),
        false => path,
    };
    Some(Object {
        id,
        start: entry.exec_start,
        limit: entry.exec_end,
        file_offset: entry.exec_offset,
        load_bias: entry.load_bias,
        path,
        build_id: entry.build_id.to_vec(),
        loaded,
    })
}

/// The absolute name of the file that is mapped at `address`, as far as it has one. Context: outside hooks.
fn mapped_path(address: u64) -> Option<String> {
    let mut found = None;
    mapped_files::for_each(|mapped| {
        if mapped.addresses.contains(&address) && mapped.path.starts_with(b"/") {
            let path = mapped.path.strip_suffix(b" (deleted)").unwrap_or(mapped.path);
            found = Some(String::from_utf8_lossy(path).into_owned());
        }
    });
    found
}

/// Whether an object is loaded now. Unlike one whose code is on our stack, it may be closed by another thread while we look
/// at its memory; so we look under the lock that the loader unmaps objects under, dl_iterate_phdr's. And its file may have been
/// shortened; so the kernel is asked first. Context: outside hooks, with
/// no lock of ours held: a thread that holds the loader's lock may allocate, and so wait for ours.
fn is_loaded(entry: &Entry) -> bool {
    struct Question<'a> {
        entry: &'a Entry,
        answer: bool,
    }
    unsafe extern "C" fn look(_: *mut libc::dl_phdr_info, _: usize, question: *mut c_void) -> c_int {
        const ENOUGH: c_int = 1; // the lock is what we came for
        // SAFETY: the pointer below, used by nobody else meanwhile.
        let question = unsafe { &mut *question.cast::<Question>() };
        loaded_object::renew();
        let entry = question.entry;
        let tables = entry.unwind_header.as_ptr() as u64;
        question.answer = page_is_readable(entry.map_start)
            && (entry.unwind_header.is_empty() || page_is_readable(tables))
            && ask_loader(entry.exec_start)
                .is_some_and(|loaded| loaded.map_start == entry.map_start && loaded.is(entry));
        ENOUGH
    }
    let mut question = Question { entry, answer: false };
    // SAFETY: `look` neither unwinds nor keeps the pointer.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut question).cast()) };
    question.answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_program_and_one_of_libc_are_found_in_different_objects() {
        let own = find(find as *const () as u64).unwrap();
        let libc = find(libc::getpid as *const () as u64).unwrap();
        assert_ne!(own.id, libc.id);
        assert_eq!(find(find as *const () as u64 + 1).unwrap().id, own.id);
        let own = describe(own.id).unwrap();
        assert!(own.loaded);
        assert_eq!(own.path, std::env::current_exe().unwrap().to_string_lossy());
        assert!((own.start..own.limit).contains(&(find as *const () as u64)));
        let libc = describe(libc.id).unwrap();
        assert!(libc.path.contains("libc.so"), "{}", libc.path);
        assert_eq!(libc.build_id.len(), 20);
    }

    /// Its registered name is one that the loader was given: "./NAME" from a folder that the process then leaves.
    #[test]
    fn a_library_opened_by_a_relative_path_has_the_absolute_one() {
        let folder = std::env::temp_dir().join(format!("cgoheap-relative-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let folder = folder.canonicalize().unwrap();
        let (source, library) = (folder.join("relative.c"), folder.join("relative.so"));
        std::fs::write(&source, "void *probe(void) { return probe; }\n").unwrap();
        let status = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-w", "-o"])
            .args([&library, &source])
            .status();
        assert!(status.expect("this test needs a C compiler named cc").success());
        // Other tests' files are absolute: they don't mind which folder is the current one. This one's way there is relative.
        let here = std::env::current_dir().unwrap();
        let up = "../".repeat(here.components().count() - 1);
        let name = format!("{up}{}\0", library.strip_prefix("/").unwrap().display());
        assert!(!name.starts_with('/'));
        // SAFETY: a library without constructors, and a zero-terminated name.
        let found = unsafe {
            let handle = libc::dlopen(name.as_ptr().cast(), libc::RTLD_NOW);
            assert!(!handle.is_null());
            find(libc::dlsym(handle, c"probe".as_ptr()) as u64).unwrap()
        };
        assert!(found.path.starts_with(b"../"));
        assert_eq!(describe(found.id).unwrap().path, library.to_str().unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(describe(found.id).unwrap().path, library.to_str().unwrap());
    }

    #[test]
    fn an_address_that_no_object_holds_is_not_found() {
        let heap = Box::new(1u8);
        assert!(find(core::ptr::from_ref(&*heap) as u64).is_none());
        assert!(find(0).is_none());
    }

    #[test]
    fn no_more_of_a_header_is_read_than_there_is() {
        use crate::sys::pages::PAGE;
        let pages = crate::sys::pages::map(2 * PAGE).unwrap();
        let end = pages.as_ptr() as u64 + PAGE as u64;
        // SAFETY: the second of our two pages, and room before it.
        unsafe {
            libc::mprotect(end as *mut _, PAGE, libc::PROT_NONE);
            let identity_of = |words: &[u32]| {
                let start = end - 4 * words.len() as u64;
                core::ptr::copy_nonoverlapping(words.as_ptr(), start as *mut u32, words.len());
                mix_header(0, start)
            };
            const USUAL: u32 = 0x3b03_1b01;
            let headers: [&[u32]; 7] = [
                &[0xffff_ff01],
                &[0xffff_1b01, 7],
                &[0xffff_1b01, 8],
                &[USUAL, 7, 0],
                &[USUAL, 7, 1, 10, 20],
                &[USUAL, 7, 1, 10, 21],
                &[USUAL, 7, 3, 10, 20, 30, 40, 50, 60],
            ];
            let identities: std::collections::HashSet<u64> = headers.map(identity_of).into();
            assert_eq!(
                identities.len(),
                headers.len(),
                "different headers, different identities"
            );
            crate::sys::pages::unmap(pages, 2 * PAGE);
        }
    }

    #[test]
    fn a_malformed_note_gives_no_build_id() {
        assert_eq!(build_id(&[]), None);
        assert_eq!(
            build_id(&[4, 0, 0, 0, 255, 255, 255, 255, 3, 0, 0, 0, b'G', b'N', b'U', 0]),
            None
        );
        let mut good = vec![4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        good.extend(b"GNU\0\xab\xcd");
        assert_eq!(build_id(&good), Some(&[0xab, 0xcd][..]));
    }
}
