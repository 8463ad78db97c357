//! What glibc gives.

pub mod errno;
