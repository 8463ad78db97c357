//! How much of what looks live may have been freed past the hooks.
//!
//! A block that code without hooks frees is found out when its address is allocated by a hook. Until then it looks live, and one
//! whose memory code without hooks uses again always does. Which of the blocks those are can't be told, but where they come from: a
//! library that frees what it was given frees all of it. So for each stack:
//!
//! ```text
//!   share     =  bytes found to have been freed past the hooks / all bytes that are gone      0 for nearly all stacks
//!   in doubt  =  share * bytes in use
//! ```
//!
//! The truth may be lower by that much. It is said beside the values, and the margin of the bytes in use is wider by it.

use crate::tables::block::SampledAlloc;
use crate::tables::blocks;
use crate::tables::stacks::{self, StackId};

/// What is in use by stack, of whatever age; empty when no block was found to have been freed past the hooks.
pub(super) struct Doubt {
    inuse_bytes: Vec<u64>,
}

impl Doubt {
    /// With nothing in use yet. `None` when memory is short.
    pub(super) fn new(stack_count: usize) -> Option<Doubt> {
        let mut inuse_bytes = Vec::new();
        if blocks::has_unseen_frees() {
            inuse_bytes.try_reserve_exact(stack_count).ok()?;
            inuse_bytes.resize(stack_count, 0);
        }
        Some(Doubt { inuse_bytes })
    }

    /// Adds a live block.
    pub(super) fn add(&mut self, entry: &SampledAlloc) {
        if let Some(sum) = self.inuse_bytes.get_mut(entry.stack.0 as usize) {
            *sum = sum.saturating_add(entry.bytes());
        }
    }

    /// How many of these bytes in use of a stack are in doubt.
    pub(super) fn of(&self, stack: StackId, bytes: u64) -> u64 {
        let (Some(&inuse), Some(record)) = (self.inuse_bytes.get(stack.0 as usize), stacks::get(stack)) else {
            return 0;
        };
        let gone = record.totals().bytes.saturating_sub(inuse);
        in_doubt(bytes, record.unseen_bytes(), gone)
    }

    /// All of them.
    pub(super) fn sum(&self) -> u64 {
        let stacks = (0..).map(StackId).zip(&self.inuse_bytes);
        stacks.fold(0, |sum, (stack, &bytes)| sum.saturating_add(self.of(stack, bytes)))
    }
}

/// Bytes in doubt now, of all stacks. Walks over the live blocks if there may be any. Context: outside hooks.
pub(super) fn read() -> u64 {
    let Some(mut doubt) = Doubt::new(stacks::end_of_ids()) else {
        return 0;
    };
    if !doubt.inuse_bytes.is_empty() {
        blocks::for_each(|entry| doubt.add(entry));
    }
    doubt.sum()
}

fn in_doubt(inuse: u64, unseen: u64, gone: u64) -> u64 {
    match unseen {
        0 => 0,
        // A sample leaves the table of blocks a moment before or after the totals are read.
        _ if unseen >= gone => inuse,
        _ => (u128::from(inuse) * u128::from(unseen) / u128::from(gone)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::in_doubt;

    #[test]
    fn the_share_of_what_went_past_the_hooks_is_in_doubt() {
        assert_eq!(in_doubt(1000, 0, 0), 0);
        assert_eq!(in_doubt(1000, 0, 500), 0);
        assert_eq!(in_doubt(1000, 50, 500), 100);
        assert_eq!(in_doubt(1000, 500, 500), 1000);
        assert_eq!(in_doubt(u64::MAX, 501, 500), u64::MAX);
        assert_eq!(in_doubt(u64::MAX, 1, 2), u64::MAX / 2);
    }
}
