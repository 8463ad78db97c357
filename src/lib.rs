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
pub mod control;
#[cfg(feature = "tables")]
pub mod ffi;
#[cfg(feature = "tables")]
pub mod hook;
#[cfg(feature = "tables")]
pub mod profile;
#[cfg(feature = "tables")]
pub mod record;
#[cfg(feature = "tables")]
pub mod snapshot;
#[cfg(feature = "tables")]
pub mod sys;
#[cfg(feature = "tables")]
pub mod tables;
#[cfg(feature = "tables")]
pub mod unwind;

/// The Rust door alone: the rest is in the archive.
#[cfg(not(feature = "tables"))]
mod hook {
    pub mod global_alloc;
}

#[cfg(feature = "tables")]
pub use control::write_profile;
pub use hook::global_alloc::CgoHeap;
#[cfg(feature = "tables")]
pub use snapshot::stats::Stats;
