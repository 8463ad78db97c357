//! What is kept of one sampled block, and the marks that tell earlier blocks from later ones.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::stacks::StackId;
use super::weight::Weight;

/// One sampled block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampledAlloc {
    /// Its address; 0 in an empty slot.
    pub address: u64,
    /// The size asked for.
    pub requested_size: u64,
    /// How many blocks it stands for, with the interval that drew it.
    pub weight: Weight,
    /// When it was allocated, by the coarse monotonic clock.
    pub time_nanos: u64,
    /// Where.
    pub stack: StackId,
    /// The mark that was current then: see [`mark`].
    pub mark: u32,
}

impl SampledAlloc {
    /// Estimated bytes.
    pub fn bytes(&self) -> u64 {
        self.weight.bytes(self.requested_size)
    }
}

/// The number that new entries carry. Atomic, because every thread that samples reads it.
static MARK: AtomicU32 = AtomicU32::new(0);

/// Draws a line: blocks that are allocated from now on carry this mark or a later one, those before an earlier one.
/// Context: outside hooks.
pub fn mark() -> u32 {
    MARK.fetch_add(1, Relaxed).wrapping_add(1)
}

/// The mark that a block allocated now carries. Context: hook.
pub fn current_mark() -> u32 {
    MARK.load(Relaxed)
}
