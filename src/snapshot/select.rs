//! What readers want of a snapshot, other than all of it: the largest stacks, some stacks by number, or what a scraper takes.

use super::{Filter, Snapshot, StackRecord, Values, objects};
use crate::snapshot::sort;
use crate::sys::clock;
use crate::sys::guard::Guard;
use crate::tables::blocks;
use crate::tables::frame::End;
use crate::tables::stacks::StackId;
use crate::tables::stacks::{self, Stack};

/// Number of the record that [`Snapshot::limit`] adds up the small stacks in. No stack has it.
pub const OTHER_STACKS: u32 = u32::MAX;

static OTHER: Stack = Stack {
    id: OTHER_STACKS,
    end: End::Complete,
    site: None,
    frames: &[],
};

/// Totals of one stack without its frames (`struct cgoheap_stack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StackTotals {
    /// Number of the stack.
    pub id: u32,
    /// Blocks allocated since the start.
    pub alloc_objects: i64,
    /// Bytes requested by them.
    pub alloc_bytes: i64,
    /// Blocks not freed that passed the filter.
    pub inuse_objects: i64,
    /// Bytes requested by them.
    pub inuse_bytes: i64,
}

/// The `count` stacks with most bytes in live blocks that pass the filter, largest first. `None` when memory is short, or when
/// the filter asks for the peak. Context: outside hooks.
pub fn largest_stacks(filter: Filter, count: usize) -> Option<Vec<StackTotals>> {
    if filter.peak {
        return None;
    }
    let _guard = Guard::enter();
    let stack_count = stacks::end_of_ids();
    let mut inuse: Vec<(u64, u64)> = Vec::new();
    inuse.try_reserve_exact(stack_count).ok()?;
    inuse.resize(stack_count, (0, 0));
    let now = clock::monotonic_coarse_nanos();
    blocks::for_each(|entry| {
        if filter.takes(entry, now)
            && let Some((objects_fixed, bytes)) = inuse.get_mut(entry.stack.0 as usize)
        {
            *objects_fixed = objects_fixed.wrapping_add(entry.weight.objects_fixed());
            *bytes = bytes.wrapping_add(entry.bytes());
        }
    });
    // Few stacks have a block that passes. Blocks of 0 bytes are blocks.
    let mut found = Vec::new();
    found
        .try_reserve_exact(inuse.iter().filter(|(objects, _)| *objects != 0).count())
        .ok()?;
    found.extend((0..stack_count).filter(|&id| inuse[id].0 != 0));
    let bytes = |at: u32| inuse[found[at as usize]].1;
    let order = sort::indices(found.len(), &mut |a, b| bytes(b).cmp(&bytes(a)).then(a.cmp(&b)));
    let totals = order.into_iter().take(count).filter_map(|at| {
        let id = found[at as usize] as u32;
        let (objects_fixed, bytes) = inuse[id as usize];
        let totals = stacks::get(StackId(id))?.totals();
        Some(StackTotals {
            id,
            alloc_objects: objects(totals.objects_fixed),
            alloc_bytes: totals.bytes as i64,
            inuse_objects: objects(objects_fixed),
            inuse_bytes: bytes as i64,
        })
    });
    Some(totals.collect())
}

impl Snapshot {
    /// Keeps the stacks with these numbers.
    pub fn keep(&mut self, ids: &[u32]) {
        self.stacks.retain(|stack| ids.contains(&stack.id));
    }

    /// The values without the loaded objects: enough to serve as an `earlier`.
    pub fn values_only(&self) -> Snapshot {
        Snapshot {
            stacks: self.stacks.clone(),
            objects: Vec::new(),
            ..*self
        }
    }

    /// Turns this into what a scraper takes that adds up what it gets: alloc values since `earlier`, inuse values of this
    /// moment. Nothing is negative, and stacks without any value go away.
    pub fn since(&mut self, earlier: &Snapshot) {
        self.duration_nanos = (self.time_nanos - earlier.time_nanos).max(0);
        for stack in &mut self.stacks {
            let Ok(index) = earlier.stacks.binary_search_by_key(&stack.id, |stack| stack.id) else {
                continue;
            };
            let before = earlier.stacks[index].values;
            let now = &mut stack.values;
            now.alloc_objects = (now.alloc_objects - before.alloc_objects).max(0);
            now.alloc_bytes = (now.alloc_bytes - before.alloc_bytes).max(0);
            now.alloc_variance = (now.alloc_variance - before.alloc_variance).max(0.0);
        }
        self.stacks.retain(|stack| !stack.values.is_nothing());
    }

    /// Keeps the `count` largest stacks and adds up the others in one record more, so that the totals stay.
    pub fn limit(&mut self, count: usize) {
        if self.stacks.len() <= count {
            return;
        }
        let size = |at: u32| {
            let values = self.stacks[at as usize].values;
            (values.inuse_bytes, values.alloc_bytes)
        };
        let order = sort::indices(self.stacks.len(), &mut |a, b| size(b).cmp(&size(a)).then(a.cmp(&b)));
        let mut keep = vec![false; self.stacks.len()];
        for &at in &order[..count] {
            keep[at as usize] = true;
        }
        let mut values = Values::default();
        let mut keep = keep.into_iter();
        self.stacks.retain(|stack| {
            let keep = keep.next() == Some(true);
            if !keep {
                values = values.plus(stack.values);
            }
            keep
        });
        self.stacks.push(StackRecord {
            stack: &OTHER,
            age: None,
            values,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::stats::Stats;

    fn snapshot(stacks: &[(u32, i64, i64)]) -> Snapshot {
        let record = |&(id, alloc_bytes, inuse_bytes): &(u32, i64, i64)| StackRecord {
            stack: Stack::made_up(id, None, Vec::new(), End::Complete),
            age: None,
            values: Values {
                alloc_objects: alloc_bytes / 10,
                alloc_bytes,
                inuse_objects: inuse_bytes / 10,
                inuse_bytes,
                ..Values::default()
            },
        };
        Snapshot {
            time_nanos: 100,
            duration_nanos: 0,
            interval_bytes: 1,
            peak_bytes: None,
            stacks: stacks.iter().map(record).collect(),
            objects: Vec::new(),
            stats: Stats::default(),
        }
    }

    fn bytes(snapshot: &Snapshot) -> Vec<(u32, i64, i64)> {
        let stacks = snapshot.stacks.iter();
        stacks
            .map(|s| (s.id, s.values.alloc_bytes, s.values.inuse_bytes))
            .collect()
    }

    #[test]
    fn a_scraper_gets_what_was_allocated_since_and_what_is_in_use_now() {
        let mut later = snapshot(&[(1, 100, 50), (2, 100, 0), (3, 30, 30), (4, 70, 20)]);
        let earlier = snapshot(&[(1, 60, 60), (2, 100, 100), (4, 90, 90)]).values_only();
        later.since(&earlier);
        // 2 is over, and 4 has shrunk, which can't be: not below nothing.
        assert_eq!(bytes(&later), [(1, 40, 50), (3, 30, 30), (4, 0, 20)]);
    }

    #[test]
    fn a_limit_keeps_the_largest_and_the_sum() {
        let mut limited = snapshot(&[(1, 100, 10), (2, 50, 50), (3, 900, 10), (4, 1, 1)]);
        limited.limit(4);
        assert_eq!(bytes(&limited).len(), 4);
        limited.limit(2);
        assert_eq!(bytes(&limited), [(2, 50, 50), (3, 900, 10), (OTHER_STACKS, 101, 11)]);
    }

    #[test]
    fn keep_goes_by_number() {
        let mut kept = snapshot(&[(1, 1, 1), (2, 2, 2), (7, 7, 7)]);
        kept.keep(&[7, 1, 9]);
        assert_eq!(bytes(&kept), [(1, 1, 1), (7, 7, 7)]);
    }
}
