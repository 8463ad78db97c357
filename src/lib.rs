//! cgoheap shows the C memory of a Go program where Go developers already look, `/debug/pprof/`, with the C line that
//! allocated it and the Go call that led there, cheaply enough to be always on.
//!
//! # One allocation, followed
//!
//! 1. [`hook`]: the C-ABI malloc family. Calls the real allocator, returns its pointer unchanged, then books the block.
//! 2. [`sampler`]: a countdown of bytes per thread decides whether this block is sampled, and what it stands for.
//! 3. [`unwind`]: the caller's stack, from C through the goroutine to its first function. Go is never called.
//! 4. [`stack_table`] and [`live_table`]: each distinct stack once, each sampled block until it is freed, in memory
//!    straight from mmap ([`arena`], [`sys`]). [`module`] remembers which object each C address was in.
//! 5. [`snapshot`]: plain data, copied under short locks.
//! 6. [`symbolize`] names C addresses; Go names its own.
//! 7. [`profile`]: profile.proto, or text.
//! 8. [`ffi`]: the C functions that the Go package calls, declared in `include/cgoheap.h`.
//!
//! [`control`] holds the settings, [`stats`] counts everything that was lost and why. [`peak`] knows what was live when it was
//! most, [`dump`] writes profiles to files when live memory passes a limit.
//!
//! Rust code comes in through [`CgoHeap`], as the program's global allocator. Without the default feature `tables` the crate
//! is that door alone: for a Rust library in a Go program, whose archive has the tables.
//!
//! # Two kinds of code
//!
//! Functions marked `Context: hook` run inside malloc: they may not allocate, block without bound, panic, call Go, or
//! change errno. The others are `Context: control`; their own allocations are not recorded ([`hook::guard`]).
//!
//! linux/amd64 with glibc 2.35 or later. What depends on the processor is in [`hook::entry`], [`sys::thread`] and
//! [`unwind`]; what depends on the C library in [`sys`] and [`module`].

#[cfg(feature = "tables")]
pub mod arena;
#[cfg(feature = "tables")]
pub mod control;
#[cfg(feature = "tables")]
mod counting;
#[cfg(feature = "tables")]
pub mod dump;
#[cfg(feature = "tables")]
pub mod ffi;
#[cfg(feature = "tables")]
pub mod frame;
#[cfg(feature = "tables")]
pub mod hash;
#[cfg(feature = "tables")]
pub mod hook;
#[cfg(feature = "tables")]
pub mod live_table;
#[cfg(feature = "tables")]
pub mod module;
#[cfg(feature = "tables")]
pub mod peak;
#[cfg(feature = "tables")]
pub mod profile;
#[cfg(feature = "tables")]
pub mod sampler;
#[cfg(feature = "tables")]
pub mod site;
#[cfg(feature = "tables")]
pub mod snapshot;
#[cfg(feature = "tables")]
mod sort;
#[cfg(feature = "tables")]
pub mod stack_table;
#[cfg(feature = "tables")]
pub mod stats;
#[cfg(feature = "tables")]
pub mod symbolize;
#[cfg(feature = "tables")]
pub mod sync;
#[cfg(feature = "tables")]
pub mod sys;
#[cfg(feature = "tables")]
pub mod unwind;

/// The Rust door alone: the rest is in the archive.
#[cfg(not(feature = "tables"))]
mod hook {
    pub mod global_alloc;
}

pub use hook::global_alloc::CgoHeap;
#[cfg(feature = "tables")]
pub use stats::Stats;

/// Writes a gzipped pprof profile of this process to `path`, mode 0600. A file is written under another name in the same folder
/// and renamed, so that it is there as a whole or not at all; a device or a pipe is written to as it is. Go addresses stay
/// unnamed: a Go program uses the Go package. Context: control.
///
/// # Errors
/// What the file system says; [`std::io::ErrorKind::OutOfMemory`] when the tables can't be copied.
#[cfg(feature = "tables")]
pub fn write_profile(path: impl AsRef<std::path::Path>) -> std::io::Result<()> {
    let _guard = hook::guard::Guard::enter();
    let bytes = encode_now()?;
    match dump::is_special(path.as_ref()) {
        true => std::fs::write(path, &bytes),
        false => dump::write_whole(path.as_ref(), &bytes, true),
    }
}

/// The gzipped profile of this moment, Go addresses unnamed.
#[cfg(feature = "tables")]
fn encode_now() -> std::io::Result<Vec<u8>> {
    let snapshot = snapshot::take(snapshot::Filter::ALL).ok_or(std::io::ErrorKind::OutOfMemory)?;
    let names = profile::names::GoNames::default();
    let mut symbols = symbolize::ProcessSymbols::new();
    Ok(profile::encode(&snapshot, &names, &mut symbols, profile::Format::Proto))
}
