//! A move of all blocks to an array of another size, a shard at a time: see [`super`].

use super::{Array, FIRST_BITS, Filter, MAX_BITS, SLOTS_PER_SAMPLE, STEP_BITS};

/// Arrays that there may be, one of each size.
const SIZES: usize = ((MAX_BITS - FIRST_BITS) / STEP_BITS + 1) as usize;
/// How long the pages of an array that frees no longer look at are kept.
const KEEP_NANOS: u64 = 10_000_000_000;
/// An array is far too large when it has this many times the slots that are needed: blocks that come and go don't make the
/// filter move to and fro.
const FAR_TOO_LARGE: usize = 32;

/// The array that the blocks are moving to, and the next step: one for each piece of the array, whose pages are made
/// present, so that no shard's lock is held for that; then one for each shard. Under a lock of its own, which comes
/// before those of the shards.
pub struct Moving {
    under_way: Option<(Array, usize)>,
    /// By size.
    arrays: [Known; SIZES],
}

/// The array of one size.
#[derive(Clone, Copy)]
struct Known {
    array: Option<Array>,
    /// When the blocks moved away from it; 0 when all of it is 0 or it is in use.
    left_nanos: u64,
}

fn bits_of(size: usize) -> u32 {
    FIRST_BITS + STEP_BITS * size as u32
}

fn size_of_array(array: Array) -> usize {
    (array.slots().ilog2().saturating_sub(FIRST_BITS) / STEP_BITS) as usize
}

impl Filter {
    /// Whether its array is of the right size for this many live samples. Context: hook.
    pub fn fits(&self, live: usize) -> bool {
        let slots = self.published().slots();
        let needed = live.saturating_mul(SLOTS_PER_SAMPLE);
        (slots >= needed || slots >= 1 << MAX_BITS) && (slots <= 1 << FIRST_BITS || slots / FAR_TOO_LARGE <= needed)
    }
}

impl Moving {
    /// No move; the filter has its first array.
    pub const fn new(first: Array) -> Moving {
        let mut arrays = [Known {
            array: None,
            left_nanos: 0,
        }; SIZES];
        arrays[0].array = Some(first);
        Moving {
            under_way: None,
            arrays,
        }
    }

    /// Takes the next step, when there is one to take for `live` samples in `shards` shards: `carry` moves the shard with
    /// this index by [`super::Part::carry_over`], and says whether it could. Context: hook.
    pub fn step(
        &mut self,
        filter: &Filter,
        live: usize,
        now_nanos: u64,
        shards: usize,
        carry: impl FnOnce(usize, Array) -> bool,
    ) {
        let Some((to, step)) = self.under_way.or_else(|| self.begin(filter, live, now_nanos)) else {
            return;
        };
        let done = match step.checked_sub(to.pieces()) {
            None => to.make_present(step),
            Some(shard) => carry(shard, to),
        };
        let next = if done { step + 1 } else { step };
        self.under_way = Some((to, next));
        if next == to.pieces() + shards {
            let from = filter.published();
            filter.publish(to);
            self.under_way = None;
            if let Some(known) = self.arrays.get_mut(size_of_array(from)) {
                known.left_nanos = now_nanos.max(1);
            }
        }
    }

    fn begin(&mut self, filter: &Filter, live: usize, now_nanos: u64) -> Option<(Array, usize)> {
        self.clear_old(now_nanos);
        if filter.fits(live) {
            return None;
        }
        let needed = live.saturating_mul(SLOTS_PER_SAMPLE);
        let size = (0..SIZES)
            .find(|size| needed <= 1 << bits_of(*size))
            .unwrap_or(SIZES - 1);
        let known = self.arrays.get_mut(size)?;
        // Until it has been cleared, a free may still be reading it.
        if known.left_nanos != 0 {
            return None;
        }
        match known.array {
            Some(array) => array.use_again()?,
            None => known.array = Some(Array::new(bits_of(size))?),
        }
        known.array.map(|array| (array, 0))
    }

    /// Gives back the pages of arrays that were left long ago. Context: hook.
    pub fn clear_old(&mut self, now_nanos: u64) {
        for known in &mut self.arrays {
            if known.left_nanos != 0
                && now_nanos.saturating_sub(known.left_nanos) >= KEEP_NANOS
                && let Some(array) = known.array
            {
                array.clear();
                known.left_nanos = 0;
            }
        }
    }
}
