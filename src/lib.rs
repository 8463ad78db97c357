//! cgoheap shows the C memory of a Go program where Go developers already look, `/debug/pprof/`, with the C line that
//! allocated it and the Go call that led there, cheaply enough to be always on.
//!
//! A Rust program names [`CgoHeap`] as its global allocator, and writes its profile with [`write_profile`]:
//!
//! ```
//! use cgoheap::CgoHeap;
//!
//! #[global_allocator]
//! static HEAP: CgoHeap = CgoHeap::system();
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     cgoheap::set_rate(512 * 1024)?; // mean bytes between samples; this is the default
//!     let path = std::env::temp_dir().join("cgoheap-example.pb.gz");
//!     cgoheap::write_profile(&path)?; // for go tool pprof
//! #   assert!(std::fs::read(&path)?.starts_with(&[0x1f, 0x8b]));
//! #   std::fs::remove_file(&path)?;
//!     Ok(())
//! }
//! ```
//!
//! Without the default feature `tables` the crate is [`CgoHeap`] alone: for a Rust library in a Go program, whose archive has
//! the tables.
//!
//! # The map
//!
//! Each folder of `src/` is a layer. A layer knows the ones above it in this list, and none below:
//!
//! | layer | what it is |
//! |---|---|
//! | `sys` | the machine: processor, kernel, C library, and locks built on them |
//! | `tables` | what is known: stacks, sampled blocks, loaded objects, the peak, counters of losses |
//! | `unwind` | the caller's stack, from C through the goroutine to its first function |
//! | `record` | what is done for an allocation: the sampler, the tables, whether a dump is due; the settings |
//! | `snapshot` | a copy of the tables, as plain data; selecting from it; [`Stats`] |
//! | `profile` | names for C addresses, the frames that a person sees, profile.proto and text |
//! | `control` | writing profiles and dumps, fork, the allocator of our own code |
//! | `hook` | where calls of malloc and its relatives come in; [`CgoHeap`] |
//! | `ffi` | where calls of the Go package come in: the other C functions of `include/cgoheap.h` |
//!
//! # One allocation, by file names
//!
//! `hook/entry` (the C function's entry: a few instructions if it isn't sampled) → `hook/malloc` (calls the backing allocator,
//! returns its pointer unchanged) → `record` → `record/sampler` (a countdown of bytes per thread: is this block sampled, and
//! what does it stand for?) → `unwind` (the stack; Go is never called) → `tables/stacks` and `tables/blocks` (each distinct
//! stack once, each sampled block until it is freed, in memory straight from mmap).
//!
//! One request goes the other way: `ffi` → `snapshot` (a copy, under short locks) → `profile` (names and encoding, with no lock
//! that a hook could wait for).
//!
//! # Two kinds of code
//!
//! Functions marked `Context: hook` run inside malloc: they may not allocate, block without bound, panic, call Go, or
//! change errno. The others are marked `Context: outside hooks`; their own allocations are not recorded, since they hold the
//! re-entrancy guard (`sys/guard`).

// See control/allocator.rs: how the archive's control code ends without memory.
#![cfg_attr(cgoheap_archive, feature(alloc_error_hook))]

/// The layers. Public for our own tests and benchmarks alone, which look inside; nothing here is promised to anybody.
#[cfg(feature = "tables")]
#[doc(hidden)]
#[allow(rustdoc::private_intra_doc_links)] // their documentation is for cargo doc --document-private-items
#[path = ""] // the folders lie beside this file
pub mod internals {
    pub mod control;
    pub mod ffi;
    pub mod hook;
    pub mod profile;
    pub mod record;
    pub mod snapshot;
    pub mod sys;
    pub mod tables;
    pub mod unwind;
}
#[cfg(feature = "tables")]
use internals::*;

/// What a Rust library in a Go program has of the layers.
#[cfg(not(feature = "tables"))]
mod hook {
    pub mod global_alloc;
}

pub use hook::global_alloc::CgoHeap;
#[cfg(feature = "tables")]
pub use {
    control::{
        dump::start as start_dumps,
        rate::{RateRefused, rate, set_rate},
        write::write_profile,
    },
    snapshot::stats::{Stats, read as read_stats},
};
