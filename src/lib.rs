//! cgoheap: the C memory of a Go program.

pub mod frame;
pub mod snapshot;
pub mod stats;
pub use stats::Stats;
