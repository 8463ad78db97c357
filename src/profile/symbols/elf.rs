//! The sections of an ELF file, and its symbols, as far as names need them. Of the file no more is kept than where its sections lie.
//!
//! ELF gABI, "Sections" and "Symbol Table"; gdb's manual, "Separate Debug Files", for `.gnu_debuglink`; DWARF 5, 7.3.6, for what `.gnu_debugaltlink` is.
//!
//! Context: outside hooks.

use std::rc::Rc;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::read::{ReadCache, ReadCacheOps};
use object::{CompressedData, CompressionFormat, LittleEndian};

use super::source::{Piece, Source, reserve};

/// Bytes that the table of sections and the names in it may have. A linker makes some forty sections of 64 bytes; a compiler that gives each
/// function one, and a linker that leaves it so, thousands.
const MOST_HEADERS: u64 = 8 << 20;
/// Bytes of a symbol table that are looked at: ten million symbols.
const MOST_SYMBOLS: u64 = 256 << 20;
/// Bytes of a section that says where something is.
const MOST_NOTES: u64 = 64 << 10;

/// An ELF file of 64 bits, little-endian.
pub(super) struct Elf {
    source: Rc<Source>,
    sections: Vec<Section>,
}

struct Section {
    name: Box<[u8]>,
    kind: elf::SectionType,
    flags: u64,
    /// The section that goes with it: a symbol table's strings.
    link: u32,
    address: u64,
    bytes: u64,
    /// Nothing for one that is not in the file.
    contents: Option<Piece>,
}

/// What `object` reads of a source while it looks for sections.
struct Headers<'a> {
    source: &'a Source,
    at: u64,
    left: u64,
}

impl ReadCacheOps for Headers<'_> {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.source.length())
    }

    fn seek(&mut self, at: u64) -> Result<u64, ()> {
        self.at = at;
        Ok(at)
    }

    fn read(&mut self, out: &mut [u8]) -> Result<usize, ()> {
        let there = self.source.length().saturating_sub(self.at);
        let count = out.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        self.read_exact(out.get_mut(..count).ok_or(())?)?;
        Ok(count)
    }

    fn read_exact(&mut self, out: &mut [u8]) -> Result<(), ()> {
        self.left = self.left.checked_sub(out.len() as u64).ok_or(())?;
        self.source.read(self.at, out).ok_or(())?;
        self.at += out.len() as u64;
        Ok(())
    }
}

impl Elf {
    /// `None` when it is something else, or damaged.
    pub(super) fn parse(source: Rc<Source>) -> Option<Elf> {
        let headers = ReadCache::new(Headers {
            source: &source,
            at: 0,
            left: MOST_HEADERS,
        });
        let header = FileHeader64::<LittleEndian>::parse(&headers).ok()?;
        let endian = header.endian().ok()?;
        // `object` takes memory for the whole table before it reads.
        if u64::from(header.shnum(endian, &headers).ok()?) * 64 > MOST_HEADERS {
            return None;
        }
        let table = header.sections(endian, &headers).ok()?;
        let mut sections = Vec::new();
        reserve(&mut sections, table.len());
        for section in table.iter() {
            let contents = section.file_range(endian);
            sections.push(Section {
                name: table.section_name(endian, section).unwrap_or_default().into(),
                kind: section.sh_type(endian),
                flags: section.sh_flags(endian).0,
                link: section.sh_link(endian),
                address: section.sh_addr(endian),
                bytes: section.sh_size(endian),
                contents: contents.and_then(|(start, bytes)| source.piece(start, bytes)),
            });
        }
        Some(Elf { source, sections })
    }

    /// The whole file.
    pub(super) fn source(&self) -> &Rc<Source> {
        &self.source
    }

    fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| *section.name == *name.as_bytes())
    }

    /// What a section holds, as it is in the file.
    pub(super) fn raw(&self, name: &str) -> Option<Piece> {
        self.find(name)?.contents.clone()
    }

    /// Whether there is such a section, with contents: `objcopy --only-keep-debug` and strip leave some without.
    pub(super) fn has(&self, name: &str) -> bool {
        let holds = |name: &str| self.raw(name).is_some_and(|piece| gimli::Reader::len(&piece) != 0);
        holds(name) || gnu_name(name).is_some_and(|name| holds(&name))
    }

    /// A section's contents, inflated where they are compressed (`left` is how many bytes may still come out of that); nothing for a section
    /// that isn't there. `None` where they can't be had.
    pub(super) fn contents(&self, name: &str, left: &mut u64) -> Option<Piece> {
        let (section, is_gnu) = match self.find(name) {
            Some(section) => (section, false),
            None => match gnu_name(name).and_then(|name| self.find(&name)) {
                Some(section) => (section, true),
                None => return Some(Piece::empty()),
            },
        };
        let Some(piece) = &section.contents else {
            return Some(Piece::empty());
        };
        let is_compressed = section.flags & elf::SHF_COMPRESSED.0 != 0;
        let (format, uncompressed_size, header) = match (is_gnu, is_compressed) {
            (false, false) => return Some(piece.clone()),
            // `struct Elf64_Chdr`: kind, nothing, size, alignment.
            (false, true) => {
                let format = match u32::from_le_bytes(piece.array(0)?) {
                    1 => CompressionFormat::Zlib,
                    2 => CompressionFormat::Zstandard,
                    _ => return None,
                };
                (format, u64::from_le_bytes(piece.array(8)?), 24)
            }
            // "ZLIB" and the size, the highest byte first.
            (true, _) if piece.array(0)? == *b"ZLIB" => {
                (CompressionFormat::Zlib, u64::from_be_bytes(piece.array(4)?), 12)
            }
            (true, _) => return None,
        };
        *left = left.checked_sub(uncompressed_size)?;
        let data = piece.part(header, (gimli::Reader::len(piece) as u64).checked_sub(header)?)?;
        let data = data.copy(*left + uncompressed_size)?;
        if let Ok(bytes) = usize::try_from(uncompressed_size) {
            reserve(&mut Vec::<u8>::new(), bytes); // so that no memory isn't taken for damage
        }
        let compressed = CompressedData {
            format,
            data: &data,
            uncompressed_size,
        };
        let inflated = compressed.decompress().ok()?.into_owned();
        Some(Source::of_memory(inflated).whole())
    }

    /// Its build id (the `NT_GNU_BUILD_ID` note); empty when it has none.
    pub(super) fn build_id(&self) -> Vec<u8> {
        let notes = self.sections.iter().filter(|section| section.kind == elf::SHT_NOTE);
        notes
            .filter_map(|section| section.contents.as_ref()?.copy(MOST_NOTES))
            .find_map(|notes| crate::tables::objects::build_id(&notes).map(<[u8]>::to_vec))
            .unwrap_or_default()
    }

    /// Name and checksum of the file with its debug information.
    pub(super) fn debug_link(&self) -> Option<(Vec<u8>, u32)> {
        let contents = self.raw(".gnu_debuglink")?.copy(MOST_NOTES)?;
        let end = contents.iter().position(|&byte| byte == 0)?;
        let sum = contents.get((end + 1).next_multiple_of(4)..)?.first_chunk()?;
        Some((contents.get(..end)?.to_vec(), u32::from_le_bytes(*sum)))
    }

    /// Name and build id of the file that its debug information shares with others.
    pub(super) fn alternate_link(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let contents = self.raw(".gnu_debugaltlink")?.copy(MOST_NOTES)?;
        let end = contents.iter().position(|&byte| byte == 0)?;
        Some((contents.get(..end)?.to_vec(), contents.get(end + 1..)?.to_vec()))
    }

    /// Whether it has a symbol table that is more than the dynamic one.
    pub(super) fn has_symbol_table(&self) -> bool {
        self.has(".symtab")
    }

    /// Its functions: of its symbol table or, without one, of the dynamic one. `None` when there are none.
    pub(super) fn functions(&self) -> Option<Functions> {
        let of_kind = |kind| self.sections.iter().find(|section| section.kind == kind);
        let table = match of_kind(elf::SHT_SYMTAB).filter(|table| table.contents.is_some()) {
            Some(table) => table,
            None => of_kind(elf::SHT_DYNSYM)?,
        };
        let names = self.sections.get(table.link as usize)?.contents.clone()?;
        let symbols = table.contents.as_ref()?;
        let count = (gimli::Reader::len(symbols) as u64).min(MOST_SYMBOLS) / Symbol::BYTES;
        let symbols = (0..count).map_while(|number| Symbol::parse(symbols.array(number * Symbol::BYTES)?));
        let code = |section: &&Section| section.flags & elf::SHF_EXECINSTR.0 != 0;
        let ends = self
            .sections
            .iter()
            .filter(code)
            .map(|section| section.address.saturating_add(section.bytes));
        Functions::new(symbols, ends, names)
    }
}

/// The older name of a compressed section.
fn gnu_name(name: &str) -> Option<String> {
    Some(format!(".zdebug{}", name.strip_prefix(".debug")?))
}

/// A symbol (`Elf64_Sym`).
#[derive(Clone, Copy)]
pub(super) struct Symbol {
    pub(super) name: u32,
    pub(super) info: u8,
    pub(super) other: u8,
    pub(super) section: u16,
    pub(super) value: u64,
    pub(super) size: u64,
}

impl Symbol {
    const BYTES: u64 = 24;

    fn parse(bytes: [u8; Symbol::BYTES as usize]) -> Option<Symbol> {
        let (name, rest) = bytes.split_first_chunk()?;
        let ([info, other], rest) = rest.split_first_chunk()?;
        let (section, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        Some(Symbol {
            name: u32::from_le_bytes(*name),
            info: *info,
            other: *other,
            section: u16::from_le_bytes(*section),
            value: u64::from_le_bytes(*value),
            size: u64::from_le_bytes(*rest.first_chunk()?),
        })
    }

    /// Of several at one address the one with the lowest rank says most: a function with a size, and a name that is known outside.
    /// `None` for what isn't code.
    fn rank(self) -> Option<u32> {
        const STT_NOTYPE: u8 = 0;
        const STT_FUNC: u8 = 2;
        const STT_GNU_IFUNC: u8 = 10;
        const STB_LOCAL: u8 = 0;
        const STV_DEFAULT: u8 = 0;
        const SHN_LORESERVE: u16 = 0xff00;
        const SHN_XINDEX: u16 = 0xffff;
        let is_here = self.section != 0 && (self.section < SHN_LORESERVE || self.section == SHN_XINDEX);
        let has_kind = match self.info & 0xf {
            STT_FUNC | STT_GNU_IFUNC => true,
            STT_NOTYPE => false,
            _ => return None,
        };
        let scope = match (self.info >> 4, self.other & 3) {
            (STB_LOCAL, _) => 2,
            (_, STV_DEFAULT) => 0,
            _ => 1,
        };
        is_here.then_some(u32::from(!has_kind) << 3 | u32::from(self.size == 0) << 2 | scope)
    }
}

/// Functions by address.
pub(super) struct Functions {
    /// Ascending, one for each address.
    functions: Vec<Function>,
    names: Piece,
}

struct Function {
    address: u64,
    size: u64,
    name: u32,
    /// Of those at one address the first by this is kept.
    rank: u32,
}

/// What ends a function of unknown size, and has no name.
const NO_NAME: u32 = u32::MAX;

impl Functions {
    /// `ends`: where code ends. `None` when there are none.
    pub(super) fn new(
        symbols: impl Iterator<Item = Symbol>,
        ends: impl Iterator<Item = u64>,
        names: Piece,
    ) -> Option<Functions> {
        const LATEST: u32 = (1 << 28) - 1;
        let mut functions = Vec::new();
        let mut add = |function| {
            reserve(&mut functions, 1);
            functions.push(function);
        };
        let mut any = false;
        for (number, symbol) in symbols.enumerate() {
            let Some(rank) = symbol.rank().filter(|_| symbol.name != 0) else {
                continue;
            };
            // A later symbol is likely to be the more specific one.
            let rank = rank << 28 | LATEST.saturating_sub(number as u32);
            any = true;
            add(Function {
                address: symbol.value,
                size: symbol.size,
                name: symbol.name,
                rank,
            });
        }
        for address in ends {
            add(Function {
                address,
                size: 0,
                name: NO_NAME,
                rank: u32::MAX,
            });
        }
        functions.sort_unstable_by_key(|function| (function.address, function.rank));
        functions.dedup_by_key(|function| function.address);
        functions.shrink_to_fit();
        any.then_some(Functions { functions, names })
    }

    /// The name of the function that holds this address.
    pub(super) fn containing(&self, address: u64) -> Option<String> {
        let behind = self.functions.partition_point(|function| function.address <= address);
        let function = self.functions.get(behind.checked_sub(1)?)?;
        let ends = match (function.size, self.functions.get(behind)) {
            (0, Some(next)) => next.address,
            (0, None) => return None,
            (size, _) => function.address.saturating_add(size),
        };
        let mut name =
            (address < ends && function.name != NO_NAME).then(|| self.names.text(function.name.into()))??;
        // A version, as in `memcpy@@GLIBC_2.14`, is no part of a name.
        if let Some(at) = name.find('@') {
            name.truncate(at);
        }
        (!name.is_empty()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions(symbols: &[(u32, u8, u64, u64)], ends: &[u64]) -> Functions {
        let names = Source::of_memory(b"\0a\0b\0c\0".to_vec()).whole();
        let symbols = symbols.iter().map(|&(name, info, value, size)| Symbol {
            name,
            info,
            other: 0,
            section: 1,
            value,
            size,
        });
        Functions::new(symbols, ends.iter().copied(), names).unwrap()
    }

    #[test]
    fn of_several_names_the_one_that_says_most_is_taken() {
        const GLOBAL_FUNCTION: u8 = 0x12;
        const LOCAL_FUNCTION: u8 = 0x02;
        const LABEL: u8 = 0x00;
        let found = functions(&[(1, LOCAL_FUNCTION, 100, 10), (3, GLOBAL_FUNCTION, 100, 10)], &[]);
        assert_eq!(found.containing(100).as_deref(), Some("b"));
        assert_eq!(found.containing(109).as_deref(), Some("b"));
        assert_eq!((found.containing(99), found.containing(110)), (None, None));
        let found = functions(&[(1, LABEL, 100, 0), (3, LOCAL_FUNCTION, 100, 10)], &[]);
        assert_eq!(found.containing(105).as_deref(), Some("b"));
        let found = functions(&[(1, GLOBAL_FUNCTION, 100, 10), (5, GLOBAL_FUNCTION, 100, 10)], &[]);
        assert_eq!(found.containing(105).as_deref(), Some("c"));
    }

    #[test]
    fn a_function_without_a_size_goes_up_to_the_next_or_to_the_end_of_code() {
        let found = functions(&[(1, 2, 100, 0), (3, 2, 200, 0)], &[250]);
        assert_eq!(found.containing(199).as_deref(), Some("a"));
        assert_eq!(found.containing(249).as_deref(), Some("b"));
        assert_eq!(found.containing(250), None);
        // Data between functions is none.
        assert!(Functions::new(core::iter::empty(), core::iter::empty(), Piece::empty()).is_none());
    }

    #[test]
    fn a_version_is_no_part_of_a_name() {
        let names = Source::of_memory(b"\0a@@V1\0@\0".to_vec()).whole();
        let symbol = |name, value| Symbol {
            name,
            info: 2,
            other: 0,
            section: 1,
            value,
            size: 10,
        };
        let symbols = [symbol(1, 100), symbol(7, 200)].into_iter();
        let found = Functions::new(symbols, core::iter::empty(), names).unwrap();
        assert_eq!(found.containing(105).as_deref(), Some("a"));
        assert_eq!(found.containing(205), None);
    }

    #[test]
    fn a_name_that_lies_outside_the_table_is_none() {
        let found = functions(&[(1000, 2, 100, 10), (7, 2, 200, 10)], &[]);
        assert_eq!((found.containing(105), found.containing(205)), (None, None));
    }

    #[test]
    fn the_running_program_has_the_sections_that_it_has() {
        let elf = Elf::parse(Source::open(std::path::Path::new("/proc/self/exe")).unwrap()).unwrap();
        assert!(elf.has(".symtab") && elf.has(".text") && !elf.has(".bss") && !elf.has(".nothing"));
        assert!(elf.functions().is_some());
        assert!(
            elf.contents(".nothing", &mut 0)
                .is_some_and(|piece| gimli::Reader::is_empty(&piece))
        );
    }
}
