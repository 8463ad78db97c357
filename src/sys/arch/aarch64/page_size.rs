//! How large pages can be. The kernel's configuration says 4, 16 or 64 KiB, and a program runs on any of them.

/// Bytes of the smallest page: what is known of one address is known as far as this goes.
pub const SMALLEST: usize = 4 << 10;
/// Bytes of the largest page: a multiple of it is whole pages on every kernel.
pub const LARGEST: usize = 64 << 10;
