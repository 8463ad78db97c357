//! The GNU C library, 2.17 or later.

pub mod environment;
pub mod errno;
pub mod loaded_object;
mod object_list;
pub mod own_names;
pub mod stack_top;
