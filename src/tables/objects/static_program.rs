//! The program, where the loader knows its executable segment alone: in a fully static one, and where pages lie between its segments that
//! belong to none of them. (The kernel maps a program segment by segment. Linkers for arm64 put segments 64 KiB apart, so that they fit
//! any size of pages, and lld gives code a segment of its own.) So the whole is looked up once, before main.
//!
//! Moreover gcc links a static program without the index of its unwind tables (`.eh_frame_hdr`, `PT_GNU_EH_FRAME`), so that the tables are in
//! memory but nothing says where. The section headers of the file do: the tables are found through them, and an index is
//! made ([`super::index`]). Without the file (no /proc) they are looked for in memory.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::{null, null_mut};

use once_cell::race::OnceRef;

use super::segments::Segments;
use super::{Entry, Loaded, ask_loader, index};
use crate::sys::guard::Guard;
use crate::sys::{loaded_object, page_size, process};
use crate::tables::arena::ARENA;

/// What is known of the program. Written once, before main, and never changed.
struct Program {
    start: u64,
    end: u64,
    load_bias: u64,
    /// Where its code begins.
    code: u64,
    /// The linker's index, or ours; empty when there is none.
    unwind_header: &'static [u8],
    segments: Segments,
    /// Whether the index is ours.
    indexed: bool,
}

/// Empty in every other program. Threads that constructors started may look while it is set.
static PROGRAM: OnceRef<Program> = OnceRef::new();

/// The program, if the loader doesn't know the whole and it holds `address`. Context: hook.
#[inline]
pub(super) fn holding(address: u64) -> Option<Loaded> {
    let program = PROGRAM
        .get()
        .filter(|program| (program.start..program.end).contains(&address))?;
    let header = match program.unwind_header {
        [] => 0,
        header => header.as_ptr() as u64,
    };
    Some(Loaded::new(
        program.start..program.end,
        program.load_bias,
        null(),
        header,
    ))
}

/// The index that the program headers don't lead to. Context: hook.
pub(super) fn add_tables(loaded: &Loaded, entry: &mut Entry) {
    let Some(program) = PROGRAM.get().filter(|program| program.indexed) else {
        return;
    };
    if program.unwind_header.as_ptr() as u64 == loaded.unwind_header {
        entry.unwind_header = program.unwind_header;
    }
}

/// Runs before main, and before constructors that may allocate: 101 is the first priority that programs may
/// use. `AT_START` in hook/entry.rs refers to it, so that a linker takes it from the archive.
#[used]
#[unsafe(link_section = ".init_array.00101")]
pub static AT_START: extern "C" fn() = learn;

extern "C" fn learn() {
    let _guard = Guard::enter();
    loaded_object::learn();
    let mut found = Program {
        start: u64::MAX,
        end: 0,
        load_bias: 0,
        code: 0,
        unwind_header: &[],
        segments: Segments::NONE,
        indexed: false,
    };
    // SAFETY: `look` neither unwinds nor keeps the pointer.
    if unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) } == 0
        || ask_loader(found.code).is_some_and(|loader| loader.map_start == found.start)
    {
        return;
    }
    if found.unwind_header.is_empty()
        && let Some(tables) = tables_of_file(&found).or_else(|| index::find_tables(&found.segments))
        && let Some(index) = index::build(tables, &found.segments)
    {
        (found.unwind_header, found.indexed) = (index, true);
    }
    if let Some(program) = ARENA.place(found) {
        let _ = PROGRAM.set(program); // before main there is nobody else
    }
}

/// Fills in the `Program` from the first object, which is the program (dl_iterate_phdr(3)), and ends there.
unsafe extern "C" fn look(object: *mut libc::dl_phdr_info, _: usize, program: *mut c_void) -> c_int {
    // SAFETY: libc's description, valid during the call, and the pointer given to dl_iterate_phdr, used by nobody else.
    let (object, program) = unsafe { (&*object, &mut *program.cast::<Program>()) };
    // SAFETY: the program headers of a loaded object, as libc says.
    let headers = unsafe { core::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum as usize) };
    let segment = |header: &libc::Elf64_Phdr| {
        let start = object.dlpi_addr.wrapping_add(header.p_vaddr);
        start..start.saturating_add(header.p_memsz)
    };
    let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    for header in loaded() {
        program.segments.add(segment(header), header.p_flags);
    }
    let code = loaded().find(|header| header.p_flags & libc::PF_X != 0);
    program.code = code.map_or(0, |header| segment(header).start);
    program.load_bias = object.dlpi_addr;
    program.start = loaded().map(|header| segment(header).start).min().unwrap_or(0) & !(page_size::SMALLEST as u64 - 1);
    program.end = loaded().map(|header| segment(header).end).max().unwrap_or(0);
    if let Some(header) = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME) {
        // SAFETY: a segment of the program: mapped as long as the process lives.
        program.unwind_header =
            unsafe { core::slice::from_raw_parts(segment(header).start as *const u8, header.p_memsz as usize) };
    }
    1
}

/// The program's unwind tables in memory, where its file says that they are.
fn tables_of_file(program: &Program) -> Option<&'static [u8]> {
    let file = FileView::open(process::PROGRAM_FILE)?;
    let (address, contents) = section(file.bytes(), b".eh_frame\0")?;
    let start = address.wrapping_add(program.load_bias);
    let end = start.checked_add(contents.len() as u64)?;
    if start < program.start || end > program.end {
        return None;
    }
    // SAFETY: inside the program, which stays; that the section is read-only and unchanged is compared next.
    let tables = unsafe { core::slice::from_raw_parts(start as *const u8, contents.len()) };
    if tables != contents {
        return None; // the file is not what runs
    }
    Some(tables)
}

/// Address and contents of the section with this name, zero included, in an ELF file.
fn section<'a>(file: &'a [u8], name: &[u8]) -> Option<(u64, &'a [u8])> {
    /// # Safety
    /// Any bytes are a value of `T`.
    unsafe fn read<T>(file: &[u8], at: u64) -> Option<T> {
        let bytes = file.get(usize::try_from(at).ok()?..)?.get(..size_of::<T>())?;
        // SAFETY: so many bytes are there.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
    // SAFETY: structs of integers.
    let header: libc::Elf64_Ehdr = unsafe { read(file, 0)? };
    let section = |number: u16| {
        let offset = u64::from(number).checked_mul(u64::from(header.e_shentsize))?;
        // SAFETY: as above.
        unsafe { read::<libc::Elf64_Shdr>(file, header.e_shoff.checked_add(offset)?) }
    };
    let contents = |section: &libc::Elf64_Shdr| {
        file.get(section.sh_offset as usize..)?
            .get(..usize::try_from(section.sh_size).ok()?)
    };
    let names = contents(&section(header.e_shstrndx)?)?;
    let found = (0..header.e_shnum).filter_map(section).find(|section| {
        names
            .get(section.sh_name as usize..)
            .is_some_and(|rest| rest.starts_with(name))
    })?;
    Some((found.sh_addr, contents(&found)?))
}

/// A file mapped for reading.
struct FileView {
    start: *mut c_void,
    bytes: usize,
}

impl FileView {
    fn open(path: &CStr) -> Option<FileView> {
        // SAFETY: a zero-terminated path; the descriptor is ours; a zeroed stat is a valid one.
        unsafe {
            let descriptor = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if descriptor < 0 {
                return None;
            }
            let mut stat: libc::stat = core::mem::zeroed();
            let bytes = match libc::fstat(descriptor, &mut stat) {
                0 => stat.st_size as usize,
                _ => 0,
            };
            let start = libc::mmap(null_mut(), bytes, libc::PROT_READ, libc::MAP_PRIVATE, descriptor, 0);
            libc::close(descriptor);
            (start != libc::MAP_FAILED).then_some(FileView { start, bytes })
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: our mapping. The file of a running program can't be written to (ETXTBSY), so it doesn't shrink.
        unsafe { core::slice::from_raw_parts(self.start.cast(), self.bytes) }
    }
}

impl Drop for FileView {
    fn drop(&mut self) {
        // SAFETY: our mapping, used by nobody any more.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_by_name_and_a_cut_file_has_none() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        let (address, tables) = section(&file, b".eh_frame\0").unwrap();
        assert!(address != 0 && !tables.is_empty());
        assert!(section(&file, b".eh_fram\0").is_none());
        for length in [0, 10, 63, 64, 1000, tables.len()] {
            assert!(section(&file[..length], b".eh_frame\0").is_none(), "{length}");
        }
    }

    #[test]
    fn a_program_whose_loader_answers_is_left_alone() {
        learn();
        assert!(PROGRAM.get().is_none());
        assert!(holding(learn as *const () as u64).is_none());
    }
}
