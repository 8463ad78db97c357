//! Linux.

pub mod clock;
pub mod futex;
pub mod mapped_files;
pub mod pages;
pub mod process;
pub mod readable;
pub mod rename;
pub mod signals;
pub mod stderr;
mod vdso;
