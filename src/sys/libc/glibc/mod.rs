//! The GNU C library, 2.35 or later.

pub mod environment;
pub mod errno;
pub mod loaded_object;
pub mod own_names;
pub mod stack_top;
