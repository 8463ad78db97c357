//! What one loaded object's files say of its addresses: debug information, its own or apart, and symbol tables.
//!
//! Files are read in pieces ([`super::source`]). What is compressed comes whole into memory, at most [`MOST_INFLATED`] of it.
//!
//! addr2line has a loader of its own, which maps files, and knows neither debug links nor alternate files.
//!
//! Context: outside hooks.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::{Context, LookupContinuation as _, LookupResult, SplitDwarfLoad};
use gimli::{Section as _, SectionId};

use super::elf::{Elf, Functions, Symbol};
use super::identity::{self, Found};
use super::name;
use super::places::Places;
use super::source::{Piece, Source};
use crate::profile::Line;
use crate::sys::pages;
use crate::tables::objects::{self, Object};

type Dwarf = gimli::Dwarf<Piece>;

/// Bytes of compressed debug information that are inflated for one object at most. Beyond, symbol tables name it.
const MOST_INFLATED: u64 = 256 << 20;

/// Bytes that may be parsed out of debug information before all of it is parsed anew: what was needed for frames that have names
/// now isn't needed any more. (Where our code has an allocator of its own: a Rust program's isn't asked.)
const MOST_PARSED: u64 = 64 << 20;

/// What is known of one object's addresses.
pub(super) struct DebugFile {
    parsed: Option<Parsed>,
    package: Option<gimli::DwarfPackage<Piece>>,
    /// Best first.
    functions: Vec<Functions>,
    inflated: Inflated,
}

/// Bytes that may still be inflated for one object.
struct Inflated(Cell<u64>);

impl Inflated {
    /// A section with names or lines in it; nothing for any other.
    fn section(&self, elf: &Elf, id: SectionId, name: Option<&str>) -> gimli::Result<Piece> {
        let Some(name) = name.filter(|_| is_for_names(id)) else {
            return Ok(Piece::empty());
        };
        let mut left = self.0.get();
        let contents = elf.contents(name, &mut left);
        self.0.set(left);
        contents.ok_or(UNREADABLE)
    }
}

struct Parsed {
    context: Context<Piece>,
    dwarf: Arc<Dwarf>,
    /// Our memory, right after the beginning.
    bytes: u64,
    /// What may be added to it before all is parsed anew; known after the first frame.
    most: Option<u64>,
}

impl Parsed {
    fn new(dwarf: Arc<Dwarf>) -> Option<Parsed> {
        forget_strings(&dwarf);
        if let Some(shared) = dwarf.sup() {
            forget_strings(shared);
        }
        let context = Context::from_arc_dwarf(dwarf.clone()).ok()?;
        let bytes = pages::mapped_bytes();
        Some(Parsed {
            context,
            dwarf,
            bytes,
            most: None,
        })
    }

    fn added(&self) -> u64 {
        pages::mapped_bytes().saturating_sub(self.bytes)
    }

    /// After a frame: twice as much as one takes is never too much, or each of a large unit's would be parsed anew.
    fn set_most(&mut self) {
        if self.most.is_none() {
            let most = MOST_PARSED.min(pages::limit_of_control() / 4);
            self.most = Some(most.max(2 * self.added()));
        }
    }

    /// The same, without what has been parsed so far if that is much.
    fn trimmed(self) -> Option<Parsed> {
        if self.most.is_none_or(|most| self.added() <= most) {
            return Some(self);
        }
        let Parsed { context, dwarf, .. } = self;
        drop(context);
        Parsed::new(dwarf)
    }
}

/// As addr2line asks for it.
#[expect(
    clippy::arc_with_non_send_sync,
    reason = "one thread has it, with all that borrows from it"
)]
fn shared(dwarf: Dwarf) -> Arc<Dwarf> {
    Arc::new(dwarf)
}

/// The strings that were made of it are gone: with what was parsed.
fn forget_strings(dwarf: &Dwarf) {
    let sections = [
        dwarf.debug_info.reader(),
        dwarf.debug_line.reader(),
        dwarf.debug_line_str.reader(),
        dwarf.debug_str.reader(),
    ];
    for section in sections {
        section.source().forget_strings();
    }
}

/// Whether a section has to do with names and lines. The others, where variables are and macros, would be half as much again to
/// inflate.
fn is_for_names(id: SectionId) -> bool {
    !matches!(
        id,
        SectionId::DebugLoc
            | SectionId::DebugLocLists
            | SectionId::DebugMacinfo
            | SectionId::DebugMacro
            | SectionId::DebugNames
            | SectionId::DebugTypes
    )
}

/// Why there is nothing. Which of gimli's errors it is makes no difference.
const UNREADABLE: gimli::Error = gimli::Error::Io;

impl DebugFile {
    /// Whatever there is for this object, or only the names of its functions; `None` when there is nothing.
    pub(super) fn open(object: &Object, places: &Places, with_lines: bool) -> Option<DebugFile> {
        let inflated = Inflated(Cell::new(MOST_INFLATED));
        let itself = identity::open_object(object);
        let own = itself.as_ref().filter(|(_, elf)| has_debug_information(elf));
        let apart = match own {
            Some(_) => None,
            None => find_apart(object, itself.as_ref(), places),
        };
        let mut functions = Vec::new();
        functions.extend(apart.as_ref().and_then(|(_, elf)| elf.functions()));
        if let Some((_, elf)) = &itself {
            if apart.is_none() && !elf.has_symbol_table() {
                functions.extend(mini_debug_information(elf));
            }
            functions.extend(elf.functions());
        }
        if itself.is_none() && object.loaded {
            functions.extend(functions_in_memory(object));
        }
        let (mut parsed, mut package) = (None, None);
        if let Some((path, elf)) = own.or(apart.as_ref()).filter(|_| with_lines) {
            parsed = load(path, elf, &inflated, places).and_then(|dwarf| Parsed::new(shared(dwarf)));
            if parsed.is_some() {
                package = load_package(path, &inflated);
            }
        }
        (parsed.is_some() || !functions.is_empty()).then_some(DebugFile {
            parsed,
            package,
            functions,
            inflated,
        })
    }

    /// Appends the lines at an address of the file's own address space, innermost first; nothing where none has a name.
    pub(super) fn lines(&mut self, address: u64, out: &mut Vec<Line>) {
        self.parsed = self.parsed.take().and_then(Parsed::trimmed);
        if let Some(parsed) = &self.parsed {
            self.lines_of(&parsed.context, address, out);
        }
        if let Some(parsed) = &mut self.parsed {
            parsed.set_most();
        }
        // The symbol table knows the function that the address physically lies in, which assembly and objects without
        // debug information have no other name for, and brief debug information (`-g1`, Rust's line-tables-only) only a short one.
        let symbol = self
            .functions
            .iter()
            .find_map(|functions| functions.containing(address));
        if let Some(symbol) = &symbol {
            if out.is_empty() {
                out.push(Line::default());
            }
            let better = |line: &&mut Line| {
                line.system_name.is_empty() || (name::is_mangled(symbol) && !name::is_mangled(&line.system_name))
            };
            if let Some(outermost) = out.last_mut().filter(better) {
                outermost.system_name = name::cut(symbol);
                outermost.function = name::demangle(symbol);
            }
        }
        out.retain(|line| !line.system_name.is_empty());
    }

    fn lines_of(&self, context: &Context<Piece>, address: u64, out: &mut Vec<Line>) {
        let mut found = context.find_frames(address);
        let frames = loop {
            match found {
                LookupResult::Output(frames) => break frames,
                LookupResult::Load { load, continuation } => found = continuation.resume(self.split_unit(&load)),
            }
        };
        let Ok(mut frames) = frames else { return };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|function| function.raw_name().ok());
            let function = function.unwrap_or_default();
            let location = frame.location;
            out.push(Line {
                function: name::demangle(&function),
                system_name: name::cut(&function),
                file: name::cut(location.as_ref().and_then(|at| at.file).unwrap_or_default()),
                line: location.and_then(|at| at.line).unwrap_or(0),
                ..Line::default()
            });
        }
    }

    /// The part of a compilation unit that lies in a `.dwo` file, or with others in a `.dwp` package.
    fn split_unit(&self, load: &SplitDwarfLoad<Piece>) -> Option<Arc<Dwarf>> {
        if let Some(package) = &self.package
            && let Ok(Some(unit)) = package.find_cu(load.dwo_id, &load.parent)
        {
            return Some(shared(unit));
        }
        let part = |path: &Option<Piece>| Some(PathBuf::from(OsString::from_vec(path.as_ref()?.copy(LONGEST_PATH)?)));
        let path = part(&load.comp_dir).unwrap_or_default().join(part(&load.path)?);
        let elf = identity::open(&path)?;
        // A program of thousands of such units would have as many files open: this one is copied, and closed.
        let section = |id: SectionId| -> gimli::Result<Piece> {
            let contents = self.inflated.section(&elf, id, id.dwo_name())?;
            let copy = contents.copy(self.inflated.0.get()).ok_or(UNREADABLE)?;
            self.inflated.0.set(self.inflated.0.get() - copy.len() as u64);
            Ok(Source::of_memory(copy).whole())
        };
        let mut dwarf = Dwarf::load(section).ok()?;
        let header = dwarf.units().next().ok()??;
        if dwarf.unit(header).ok()?.dwo_id != Some(load.dwo_id) {
            return None;
        }
        dwarf.make_dwo(&load.parent);
        Some(shared(dwarf))
    }
}

const LONGEST_PATH: u64 = 4096;

fn has_debug_information(elf: &Elf) -> bool {
    elf.has(".debug_info")
}

/// The file with debug information apart from the object, by build id or debug link.
fn find_apart(object: &Object, itself: Option<&Found>, places: &Places) -> Option<Found> {
    let has_build_id = |path: PathBuf| identity::with_build_id(&path, &object.build_id).map(|elf| (path, elf));
    let by_link = || {
        let (path, elf) = itself?;
        let (link, sum) = elf.debug_link()?;
        places.by_link(path, &link).into_iter().find_map(|candidate| {
            // gdb refuses the object itself, whose checksum can't agree anyway.
            let elf = identity::with_checksum(&candidate, sum, &object.build_id)?;
            Some((candidate, elf))
        })
    };
    places
        .by_build_id(&object.build_id)
        .and_then(has_build_id)
        .or_else(by_link)
        .or_else(|| places.cached(&object.build_id).into_iter().find_map(has_build_id))
}

/// The debug information of a file, with the part that it shares with others.
fn load(path: &Path, elf: &Elf, inflated: &Inflated, places: &Places) -> Option<Dwarf> {
    let mut dwarf = Dwarf::load(|id| inflated.section(elf, id, Some(id.name()))).ok()?;
    if let Some((name, build_id)) = elf.alternate_link() {
        // Without it names and lines are missing at random, and what is left is wrong: better the symbol table's alone.
        let alternate = places
            .alternate(path, &name, &build_id)
            .iter()
            .find_map(|path| identity::with_build_id(path, &build_id))?;
        dwarf
            .load_sup(|id| inflated.section(&alternate, id, Some(id.name())))
            .ok()?;
    }
    dwarf.populate_abbreviations_cache(gimli::AbbreviationsCacheStrategy::Duplicates);
    Some(dwarf)
}

/// The package of split units beside a file: its name with `.dwp` behind.
fn load_package(path: &Path, inflated: &Inflated) -> Option<gimli::DwarfPackage<Piece>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".dwp");
    let elf = identity::open(Path::new(&name))?;
    gimli::DwarfPackage::load(
        |id: SectionId| inflated.section(&elf, id, id.dwo_name()),
        Piece::empty(),
    )
    .ok()
}

/// The static functions that some distributions leave in a stripped object, in an ELF file of its own (`.gnu_debugdata`, xz).
fn mini_debug_information(elf: &Elf) -> Option<Functions> {
    let packed = elf.raw(".gnu_debugdata")?.copy(MOST_INFLATED)?;
    Elf::parse(Source::of_memory(super::xz::inflate(&packed)?))?.functions()
}

/// The dynamic symbols that an object without a file has in memory.
fn functions_in_memory(object: &Object) -> Option<Functions> {
    let table = objects::dynamic_symbols(object.id)?;
    let symbols = table.symbols.iter().map(|symbol| Symbol {
        name: symbol.st_name,
        info: symbol.st_info,
        other: symbol.st_other,
        section: symbol.st_shndx,
        value: symbol.st_value,
        // Of an unknown size: what lies behind it may be another's.
        size: symbol.st_size.max(1),
    });
    Functions::new(symbols, core::iter::empty(), Source::of_memory(table.names).whole())
}
