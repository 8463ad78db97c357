//! What runs beside the program: files, the thread that dumps, the memory that we ourselves need, forks.

pub mod allocator;
pub mod dump;
mod files;
pub mod fork;
mod write;

pub use write::write_profile;
