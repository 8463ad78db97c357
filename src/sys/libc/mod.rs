//! The C library that we are built for.

#[cfg(target_env = "gnu")]
mod glibc;
#[cfg(target_env = "gnu")]
pub use glibc::*;

#[cfg(not(target_env = "gnu"))]
compile_error!("cgoheap has no folder in src/sys/libc for this C library; src/sys/mod.rs says what one must supply");
