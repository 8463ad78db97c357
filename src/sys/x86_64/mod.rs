//! What x86_64 gives.

pub mod call;
pub mod float;
pub mod registers;
