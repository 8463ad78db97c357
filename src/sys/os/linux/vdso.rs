//! The kernel's own shared object (vdso(7)): its clock needs no system call. libc's `clock_gettime` uses it too, but a preloaded
//! library may have another in its place, which must not be called from inside malloc.
//!
//! The object is as the kernel made it, so its ELF is taken at its word; a table that isn't there means no function.

use core::ffi::{CStr, c_char};
use core::mem::size_of;

use libc::{Elf64_Ehdr, Elf64_Phdr, Elf64_Sym};

/// A tag and a value of the dynamic section (`Elf64_Dyn`).
#[repr(C)]
struct Dynamic {
    tag: i64,
    value: u64,
}

const DT_NULL: i64 = 0;
const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_GNU_HASH: i64 = 0x6fff_fef5;

/// The address of the object's function `name`; `None` when there is no such object (none under valgrind) or function. Context:
/// outside hooks, since libc is asked where the object is.
pub fn function(name: &CStr) -> Option<usize> {
    // SAFETY: reads what the kernel gave the process.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    // SAFETY: if it isn't 0 the kernel's object lies there, as long as the process lives.
    (base != 0).then(|| unsafe { function_of(base, name) })?
}

/// # Safety
/// At `base` lies a shared object in memory, which stays.
unsafe fn function_of(base: usize, name: &CStr) -> Option<usize> {
    // SAFETY: says the caller. Addresses within it are relative to the first loaded segment's.
    unsafe {
        let header = &*(base as *const Elf64_Ehdr);
        let segments = core::slice::from_raw_parts(
            base.wrapping_add(header.e_phoff as usize) as *const Elf64_Phdr,
            header.e_phnum.into(),
        );
        let first = segments.iter().find(|segment| segment.p_type == libc::PT_LOAD)?;
        let bias = base
            .wrapping_add(first.p_offset as usize)
            .wrapping_sub(first.p_vaddr as usize);
        let at = |address: u64| bias.wrapping_add(address as usize);
        let section = segments.iter().find(|segment| segment.p_type == libc::PT_DYNAMIC)?;
        let entry = |wanted: i64| {
            (0..section.p_memsz as usize / size_of::<Dynamic>())
                .map(|index| &*(at(section.p_vaddr) as *const Dynamic).add(index))
                .take_while(|entry| entry.tag != DT_NULL)
                .find(|entry| entry.tag == wanted)
                .map(|entry| at(entry.value))
        };
        let symbols = entry(DT_SYMTAB)? as *const Elf64_Sym;
        let names = entry(DT_STRTAB)?;
        let count = match (entry(DT_HASH), entry(DT_GNU_HASH)) {
            (Some(table), _) => *(table as *const u32).add(1) as usize, // nbucket, nchain: one for each symbol
            (None, Some(table)) => symbols_of_gnu_hash(table as *const u32),
            (None, None) => return None,
        };
        (0..count)
            .map(|index| &*symbols.add(index))
            .filter(|symbol| symbol.st_shndx != 0 && symbol.st_value != 0)
            .find(|symbol| CStr::from_ptr((names + symbol.st_name as usize) as *const c_char) == name)
            .map(|symbol| at(symbol.st_value))
    }
}

/// How many symbols there are: such a table doesn't say so, but chains end behind the last one.
///
/// # Safety
/// `table` is the table that `DT_GNU_HASH` leads to.
unsafe fn symbols_of_gnu_hash(table: *const u32) -> usize {
    // SAFETY: four words, `filter_words` words of 8 bytes, a word for each bucket, then one for each symbol from `first` on; the
    // last one of a chain is odd.
    unsafe {
        let [buckets, first, filter_words, _] = *table.cast::<[u32; 4]>();
        let bucket = table.add(4 + 2 * filter_words as usize);
        let chain = bucket.add(buckets as usize);
        let Some(mut last) = (0..buckets as usize)
            .map(|index| *bucket.add(index))
            .max()
            .filter(|last| *last >= first)
        else {
            return first as usize;
        };
        while *chain.add((last - first) as usize) & 1 == 0 {
            last += 1;
        }
        last as usize + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::arch::system_call::VDSO_CLOCK_GETTIME;

    #[test]
    fn the_clock_is_found_as_the_loader_finds_it() {
        // SAFETY: zero-terminated names; the handle is not used after all.
        let expected = unsafe {
            let handle = libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
            assert!(!handle.is_null(), "this machine's kernel has no vDSO");
            libc::dlsym(handle, VDSO_CLOCK_GETTIME.as_ptr()) as usize
        };
        assert_ne!(expected, 0);
        assert_eq!(function(VDSO_CLOCK_GETTIME), Some(expected));
        assert_eq!(function(c"no_such_function"), None);
    }

    #[test]
    fn symbols_are_counted_by_either_table() {
        // SAFETY: tables of this test's own: three symbols in two buckets behind one that isn't hashed; none in the only bucket.
        let counts = unsafe {
            [
                symbols_of_gnu_hash([2, 1, 1, 0, 0, 0, 1, 2, 7, 6, 9].as_ptr()),
                symbols_of_gnu_hash([1, 5, 1, 0, 0, 0, 0].as_ptr()),
            ]
        };
        assert_eq!(counts, [4, 5]);
    }
}
