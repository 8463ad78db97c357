//! Names that the library has for its own malloc and its relatives, beside the ones that everybody knows.

/// Begins the other name of a function: `__libc_malloc` is malloc.
pub const PREFIX: &str = "__libc_";
