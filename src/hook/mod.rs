//! Where malloc and its relatives come in, and the order of events around the backing allocator:
//!
//! - An allocation is recorded *after* the backing call returned: before that it has no address.
//! - A block is forgotten *before* the backing free: after it, another thread may own the address.
//! - A realloc follows both: the old block is forgotten before, the new one recorded after, and when the backing realloc
//!   fails the old block is put back, since it is still there.
//!
//! [`entry`] has the registers, [`malloc`] makes the call, [`crate::record`] does the rest. Rust code comes in by
//! [`global_alloc`] and [`rust`].

pub mod backing;
pub mod entry;
pub mod global_alloc;
pub mod malloc;
pub mod rust;
