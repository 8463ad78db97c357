//! The dynamic symbols of a loaded object, out of its own memory: what names its functions when its file is gone (a library that was
//! deleted or replaced, a memfd, the kernel's own).
//!
//! The tables are taken at nobody's word: a table is used as far as it lies in one readable segment (ELF gABI, "Dynamic Section";
//! <https://flapenguin.me/elf-dt-gnu-hash> for `DT_GNU_HASH`). And memory is read as a file, /proc/self/mem, where an object that another
//! thread closes meanwhile, or a file that was shortened below its mapping, is an error and no signal.
//!
//! Context: outside hooks.

use core::mem::size_of;
use core::ops::Range;
use std::fs::File;
use std::os::unix::fs::FileExt;

use libc::{Elf64_Ehdr, Elf64_Phdr, Elf64_Sym};

use super::{Entry, is_loaded, of_id};
use crate::tables::frame::ObjectId;

/// The symbols and their names, as they are in memory: a name begins at `st_name` and ends with a zero.
pub struct DynamicSymbols {
    /// In no order.
    pub symbols: Vec<Elf64_Sym>,
    /// The table of strings.
    pub names: Vec<u8>,
}

/// Bytes of a table at most.
const MOST: u64 = 64 << 20;

/// The dynamic symbols of an object, if it is loaded and has any. Context: outside hooks, with no lock of ours held.
pub fn dynamic_symbols(id: ObjectId) -> Option<DynamicSymbols> {
    let entry = of_id(id).filter(|entry| is_loaded(entry))?;
    let found = Memory::of(entry)?.dynamic_symbols()?;
    // Another object may have taken its place while it was read.
    is_loaded(entry).then_some(found)
}

/// The readable segments of an object.
struct Memory<'a> {
    entry: &'a Entry,
    file: File,
}

/// A value of which any bytes are one.
///
/// # Safety
/// It is made of integers, without padding.
unsafe trait Plain: Copy {}
// SAFETY: integers.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: structs of integers that lie side by side.
unsafe impl Plain for Elf64_Ehdr {}
// SAFETY: as above.
unsafe impl Plain for Elf64_Phdr {}
// SAFETY: as above.
unsafe impl Plain for Elf64_Sym {}

impl Memory<'_> {
    fn of(entry: &Entry) -> Option<Memory<'_>> {
        let file = File::open("/proc/self/mem").ok()?;
        Some(Memory { entry, file })
    }

    /// What lies at `at`; `None` where that isn't in one readable segment, or is too much.
    fn values<T: Plain>(&self, at: u64, count: u64) -> Option<Vec<T>> {
        let bytes = count
            .checked_mul(size_of::<T>() as u64)
            .filter(|bytes| *bytes <= MOST)?;
        let end = at.checked_add(bytes)?;
        self.entry.segments.readable(at).filter(|segment| end <= segment.end)?;
        let mut out = Vec::new();
        out.try_reserve_exact(count as usize).ok()?;
        // SAFETY: so many bytes are reserved; zeros are a value of `T`, and so is whatever is read.
        unsafe {
            let start: *mut T = out.as_mut_ptr();
            start.write_bytes(0, count as usize);
            let room = core::slice::from_raw_parts_mut(start.cast::<u8>(), bytes as usize);
            self.file.read_exact_at(room, at).ok()?;
            out.set_len(count as usize);
        }
        Some(out)
    }

    fn value<T: Plain>(&self, at: u64) -> Option<T> {
        self.values(at, 1)?.first().copied()
    }

    /// Where the dynamic section is.
    fn dynamic_section(&self) -> Option<Range<u64>> {
        let header: Elf64_Ehdr = self.value(self.entry.map_start)?;
        let is_elf =
            header.e_ident.get(..4) == Some(b"\x7fELF") && header.e_phentsize as usize == size_of::<Elf64_Phdr>();
        let at = self.entry.map_start.checked_add(header.e_phoff).filter(|_| is_elf)?;
        let headers: Vec<Elf64_Phdr> = self.values(at, header.e_phnum.into())?;
        let found = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC)?;
        let start = self.entry.load_bias.wrapping_add(found.p_vaddr);
        Some(start..start.checked_add(found.p_memsz)?)
    }

    fn dynamic_symbols(&self) -> Option<DynamicSymbols> {
        const DT_NULL: u64 = 0;
        const DT_HASH: u64 = 4;
        const DT_STRTAB: u64 = 5;
        const DT_SYMTAB: u64 = 6;
        const DT_STRSZ: u64 = 10;
        const DT_GNU_HASH: u64 = 0x6fff_fef5;
        let section = self.dynamic_section()?;
        let words: Vec<u64> = self.values(section.start, (section.end - section.start) / 16 * 2)?;
        let (mut hash, mut gnu_hash, mut names_at, mut symbols_at, mut name_bytes) = (None, None, None, None, None);
        for &[tag, value] in words.as_chunks().0 {
            let field = match tag {
                DT_NULL => break,
                DT_HASH => &mut hash,
                DT_GNU_HASH => &mut gnu_hash,
                DT_STRTAB => &mut names_at,
                DT_SYMTAB => &mut symbols_at,
                DT_STRSZ => &mut name_bytes,
                _ => continue,
            };
            *field = Some(value);
        }
        // glibc makes addresses of them, where the section can be written to; others leave them as they are in the file.
        let address = |value: u64| match (self.entry.map_start..self.entry.map_end).contains(&value) {
            true => value,
            false => self.entry.load_bias.wrapping_add(value),
        };
        let count = match (hash, gnu_hash) {
            (Some(table), _) => u64::from(self.value::<u32>(address(table).checked_add(4)?)?),
            (None, Some(table)) => self.symbols_of_gnu_hash(address(table))?,
            (None, None) => return None,
        };
        Some(DynamicSymbols {
            symbols: self.values(address(symbols_at?), count)?,
            names: self.values(address(names_at?), name_bytes?)?,
        })
    }

    /// How many symbols there are: such a table doesn't say so, but its chains end behind the last one.
    fn symbols_of_gnu_hash(&self, table: u64) -> Option<u64> {
        let [buckets, first, filter_words]: [u32; 3] = self.values(table, 3)?.try_into().ok()?;
        let buckets_at = table.checked_add(16 + 8 * u64::from(filter_words))?;
        let chains_at = buckets_at.checked_add(4 * u64::from(buckets))?;
        let last = self.values::<u32>(buckets_at, buckets.into())?.into_iter().max();
        let Some(last) = last.filter(|last| *last >= first) else {
            return Some(first.into());
        };
        let chains = self.entry.segments.readable(chains_at)?;
        let start = chains_at.checked_add(4 * u64::from(last - first))?;
        let in_segment = chains.end.checked_sub(start)? / 4;
        // A chain is short; were it not, there'd be something else.
        let chain = self.values::<u32>(start, in_segment.min(4096))?;
        let more = chain.iter().position(|hash| hash & 1 != 0)?;
        Some(u64::from(last) + more as u64 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{describe, find};
    use super::*;

    fn names_at(address: u64) -> Vec<String> {
        let entry = find(address).unwrap();
        let bias = describe(entry.id).unwrap().load_bias;
        let table = dynamic_symbols(entry.id).unwrap();
        let holds = |symbol: &&Elf64_Sym| {
            let start = bias + symbol.st_value;
            symbol.st_shndx != 0 && (start..start + symbol.st_size).contains(&address)
        };
        let name = |symbol: &Elf64_Sym| {
            let name = &table.names[symbol.st_name as usize..];
            let end = name.iter().position(|&byte| byte == 0).unwrap();
            String::from_utf8(name[..end].to_vec()).unwrap()
        };
        table.symbols.iter().filter(holds).map(name).collect()
    }

    #[test]
    fn functions_of_libc_and_of_the_kernels_object_are_named_without_a_file() {
        let names = names_at(libc::getenv as *const () as u64);
        assert_eq!(names, ["getenv"]);
        // SAFETY: a zero-terminated name; the kernel's object is always loaded.
        let clock = unsafe {
            let handle = libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
            libc::dlsym(handle, c"__vdso_clock_gettime".as_ptr())
        };
        let names = names_at(clock as u64);
        assert!(names.iter().any(|name| name == "__vdso_clock_gettime"), "{names:?}");
    }
}
