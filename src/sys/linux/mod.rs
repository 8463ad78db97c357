//! What linux gives.

pub mod clock;
pub mod pages;
pub mod stderr;
