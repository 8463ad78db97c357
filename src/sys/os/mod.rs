//! The kernel that we are built for.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(not(target_os = "linux"))]
compile_error!("cgoheap has no folder in src/sys/os for this system; src/sys/mod.rs says what one must supply");
