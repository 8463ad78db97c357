//! 1. **Hooks**: the order of events around the real allocator.
//!
//! - An allocation is recorded *after* the real call returned: before that it has no address.
//! - A block is forgotten *before* the real free: after it, another thread may own the address.
//! - A realloc follows both: the old block is forgotten before, the new one recorded after, and when the real realloc
//!   fails the old block is put back, since it is still there.
//!
//! What is recorded goes: [`entry`] (registers) -> [`functions`] (the real call) -> [`record`] -> sampler -> unwind ->
//! stack table -> live table.

pub mod backing;
pub mod entry;
pub mod global_alloc;
pub mod malloc;
pub mod rust;
