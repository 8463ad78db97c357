//! Whether a file is the one that is asked for. An object is what it was when it was loaded: a library may have been replaced by
//! another one of the same name since, and names out of that would be wrong.
//!
//! ```text
//!   the object has a build id       the file has the same
//!   it has none, and is loaded      the file is the one that is mapped
//!   it has none, and was closed     nothing can be said: no name
//!   none of these                   dynamic symbols in its memory, if it is loaded
//! ```
//!
//! That two files are one is asked of /proc/self/maps for both, with ours mapped for the question: file systems that lie over others
//! (overlayfs, btrfs) have other device numbers there than stat(2) tells.
//!
//! Context: outside hooks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::elf::Elf;
use super::source::Source;
use crate::sys::{mapped_files, process};
use crate::tables::objects::Object;

/// An ELF file, and the path by which what lies beside it is found.
pub(super) type Found = (PathBuf, Elf);

/// The ELF file at this path, whatever it is.
pub(super) fn open(path: &Path) -> Option<Elf> {
    Elf::parse(Source::open(path)?)
}

/// The object's own file, if it can be had.
pub(super) fn open_object(object: &Object) -> Option<Found> {
    // Not the kernel's own linux-vdso.so.1, for which there is no file.
    let named = object.path.contains('/').then(|| PathBuf::from(&object.path))?;
    // The program's link leads to the file that runs, even after another one has taken its name.
    let program = Path::new(OsStr::from_bytes(process::PROGRAM_FILE.to_bytes()));
    if std::fs::read_link(program).is_ok_and(|path| path == named) {
        return Some((named, open(program)?));
    }
    let elf = open(&named).filter(|elf| is_file_of(object, elf))?;
    Some((named, elf))
}

fn is_file_of(object: &Object, elf: &Elf) -> bool {
    if !object.build_id.is_empty() {
        return elf.build_id() == object.build_id;
    }
    let mapped = object.loaded.then(|| mapped_files::at(object.start)).flatten();
    mapped.is_some() && mapped == elf.source().file_id()
}

/// The ELF file at this path if it has this build id.
pub(super) fn with_build_id(path: &Path, build_id: &[u8]) -> Option<Elf> {
    open(path).filter(|elf| !build_id.is_empty() && elf.build_id() == build_id)
}

/// The ELF file at this path if it is the one that a debug link means: it has this checksum, and no build id but the object's.
pub(super) fn with_checksum(path: &Path, sum: u32, build_id: &[u8]) -> Option<Elf> {
    open(path).filter(|elf| {
        let id = elf.build_id();
        let is_other = !id.is_empty() && !build_id.is_empty() && id != build_id;
        !is_other && elf.source().checksum() == Some(sum)
    })
}
