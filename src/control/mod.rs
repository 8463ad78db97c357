//! What runs beside the program: files, the thread that dumps, the memory that we ourselves need, forks.

pub mod allocator;
pub mod dump;
mod files;
pub mod fork;
mod heap;
pub mod rate;
pub mod write;
