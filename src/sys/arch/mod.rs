//! The processor that we are built for.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("cgoheap has no folder in src/sys/arch for this processor; src/sys/mod.rs says what one must supply");
