//! The machine: everything that depends on the processor, the kernel or the C library, and what is built on it without
//! knowing anything of allocations: locks, the re-entrancy guard, the state of a thread.
//!
//! ```text
//!   arch/aarch64/, arch/x86_64/
//!                   assembly, registers and their DWARF numbers, how Go lays out its records, code bytes
//!   os/linux/       pages, futexes, clocks, the process, probing memory, files
//!   libc/glibc/     errno, the environment, where a stack ends, which loaded object holds an address
//! ```
//!
//! # What a platform supplies
//!
//! A folder for each axis, with the file names, items and macros of the ones that are there. `arch/mod.rs`, `os/mod.rs` and
//! `libc/mod.rs` choose one folder each for the target; this file hands its modules on, so that nobody above names a platform:
//! `crate::sys::registers` is that of the processor that we are built for. `build.rs` compiles the C files of the layer above
//! with `arch/PROCESSOR/caller.h`.
//!
//! Contract of the folders: nothing allocates with malloc, nothing panics, and every function marked `Context: hook` leaves
//! errno alone or says that it doesn't.

mod arch;
pub mod guard;
mod libc;
pub mod lock;
pub mod no_memory;
mod os;
pub mod spare_stack;
pub mod thread;

pub use self::arch::{call, call_site, float, go_layout, page_size, registers, signal_frame};
pub use self::libc::{environment, errno, loaded_object, own_names, stack_top};
pub use self::os::{clock, futex, mapped_files, pages, process, readable, rename, signals, stderr};
