//! Files that are there as a whole or not at all.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::ffi::{CString, OsString};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::sys::rename;

/// Writes a file as a whole or not at all: under a hidden name in the same folder, then renamed. Mode 0600. With `replace` a
/// file of that name, or a symbolic link, makes way. Context: outside hooks.
///
/// # Errors
/// What the file system says; without `replace`, [`ErrorKind::AlreadyExists`].
pub fn write_whole(path: &Path, contents: &[u8], replace: bool) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let (mut hidden_file, temporary, mut file) = loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed)));
        let temporary = path.with_file_name(hidden);
        let hidden_file = HiddenFile::new(&temporary)?;
        // O_EXCL follows no link and takes nobody's file; O_NOFOLLOW says so once more.
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_NOFOLLOW)
            .mode(0o600)
            .open(&temporary);
        match file {
            Ok(file) => break (hidden_file, temporary, file),
            // Left by a process that had our number and ended while it wrote. Not ours to remove: it may be alive in another
            // container.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && NEXT.load(Relaxed) < 10_000 => {}
            Err(error) => return Err(error),
        }
    };
    hidden_file.there = true;
    file.write_all(contents)?;
    move_to(&temporary, path, replace)?;
    hidden_file.there = false;
    Ok(())
}

/// The hidden file while it is there: removed when this is dropped, also while a panic for lack of memory passes. So its name
/// is made before.
struct HiddenFile {
    name: CString,
    there: bool,
}

impl HiddenFile {
    fn new(path: &Path) -> io::Result<Self> {
        let name = CString::new(path.as_os_str().as_bytes())?;
        Ok(Self { name, there: false })
    }
}

impl Drop for HiddenFile {
    fn drop(&mut self) {
        if self.there {
            // SAFETY: a zero-terminated path.
            unsafe { libc::unlink(self.name.as_ptr()) };
        }
    }
}

fn move_to(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return std::fs::rename(from, to);
    }
    let [old, new] = [from, to].map(|path| CString::new(path.as_os_str().to_owned().into_vec()));
    let (old, new) = (old?, new?);
    match rename::without_replacing(&old, &new) {
        Err(error) if error.kind() == ErrorKind::Unsupported && std::fs::symlink_metadata(to).is_err() => {
            std::fs::rename(from, to)
        }
        done => done,
    }
}

/// Whether something other than a file is there, to be written to as it is: a device, a pipe, `/dev/stdout`.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.mode() & libc::S_IFMT != libc::S_IFREG && !data.is_dir())
}
