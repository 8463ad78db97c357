//! The profile of this moment, in a program without Go.

use crate::profile::{self, symbols};
use crate::snapshot;

/// Writes a gzipped pprof profile of this process to `path`, mode 0600. A file is written under another name in the same folder
/// and renamed, so that it is there as a whole or not at all; a device or a pipe is written to as it is. Go addresses stay
/// unnamed: a Go program uses the Go package. From any thread. Context:
/// outside hooks.
///
/// # Errors
/// What the file system says; [`std::io::ErrorKind::OutOfMemory`] when the tables can't be copied.
pub fn write_profile(path: impl AsRef<std::path::Path>) -> std::io::Result<()> {
    let _guard = crate::sys::guard::Guard::enter();
    let bytes = encode_now()?;
    match super::files::is_special(path.as_ref()) {
        true => std::fs::write(path, &bytes),
        false => super::files::write_whole(path.as_ref(), &bytes, true),
    }
}

/// The gzipped profile of this moment, Go addresses unnamed.
pub(super) fn encode_now() -> std::io::Result<Vec<u8>> {
    let snapshot = snapshot::take(snapshot::Filter::ALL).ok_or(std::io::ErrorKind::OutOfMemory)?;
    let names = profile::go_names::GoNames::default();
    let mut symbols = symbols::ProcessSymbols::new();
    Ok(profile::encode(&snapshot, &names, &mut symbols, profile::Format::Proto))
}
