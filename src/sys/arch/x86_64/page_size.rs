//! How large pages can be.

/// Bytes of the smallest page: what is known of one address is known as far as this goes.
pub const SMALLEST: usize = 4096;
/// Bytes of the largest page: a multiple of it is whole pages on every kernel.
pub const LARGEST: usize = 4096;
