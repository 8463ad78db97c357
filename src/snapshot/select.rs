//! What readers want of a snapshot, other than all of it: the largest stacks, some stacks by number, or what a scraper takes.

use std::borrow::Cow;

use super::{Filter, Snapshot, StackRecord, Values, objects};
use crate::frame::End;
use crate::hook::guard::Guard;
use crate::stack_table::StackId;
use crate::sys::clock;
use crate::{live_table, stack_table};

/// Number of the record that [`Snapshot::limit`] adds up the small stacks in. No stack has it.
pub const OTHER_STACKS: u32 = u32::MAX;

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

/// The `count` stacks with most bytes in live blocks that pass the filter, largest first. `None` when memory is short.
/// Context: control.
pub fn largest_stacks(filter: Filter, count: usize) -> Option<Vec<StackTotals>> {
    let _guard = Guard::enter();
    let stack_count = stack_table::end_of_ids();
    let mut inuse: Vec<(u64, u64)> = Vec::new();
    inuse.try_reserve_exact(stack_count).ok()?;
    inuse.resize(stack_count, (0, 0));
    let now = clock::monotonic_coarse_nanos();
    live_table::for_each(|entry| {
        if filter.takes(entry, now)
            && let Some((objects_fixed, bytes)) = inuse.get_mut(entry.stack.0 as usize)
        {
            *objects_fixed = objects_fixed.wrapping_add(entry.weight.objects_fixed());
            *bytes = bytes.wrapping_add(entry.bytes());
        }
    });
    let mut largest: Vec<(u32, (u64, u64))> = (0u32..).zip(inuse).filter(|(_, (_, bytes))| *bytes != 0).collect();
    largest.sort_unstable_by_key(|&(id, (_, bytes))| (std::cmp::Reverse(bytes), id));
    largest.truncate(count);
    let totals = largest.into_iter().filter_map(|(id, (objects_fixed, bytes))| {
        let totals = stack_table::get(StackId(id))?.totals();
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

    /// The values without the stacks: enough to be somebody's `earlier`.
    pub fn values_only(&self) -> Snapshot {
        let bare = |stack: &StackRecord| StackRecord {
            id: stack.id,
            site: None,
            frames: Cow::default(),
            end: End::Complete,
            age: None,
            values: stack.values,
        };
        Snapshot {
            stacks: self.stacks.iter().map(bare).collect(),
            modules: Vec::new(),
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
        let size = |stack: &StackRecord| (stack.values.inuse_bytes, stack.values.alloc_bytes);
        self.stacks
            .sort_unstable_by_key(|stack| (std::cmp::Reverse(size(stack)), stack.id));
        let rest = self.stacks.split_off(count);
        self.stacks.sort_unstable_by_key(|stack| stack.id);
        let mut values = Values::default();
        for stack in rest {
            let v = stack.values;
            values = Values {
                alloc_objects: values.alloc_objects.saturating_add(v.alloc_objects),
                alloc_bytes: values.alloc_bytes.saturating_add(v.alloc_bytes),
                inuse_objects: values.inuse_objects.saturating_add(v.inuse_objects),
                inuse_bytes: values.inuse_bytes.saturating_add(v.inuse_bytes),
                alloc_variance: values.alloc_variance + v.alloc_variance,
                inuse_variance: values.inuse_variance + v.inuse_variance,
            };
        }
        self.stacks.push(StackRecord {
            id: OTHER_STACKS,
            site: None,
            frames: Cow::default(),
            end: End::Complete,
            age: None,
            values,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    fn snapshot(stacks: &[(u32, i64, i64)]) -> Snapshot {
        let record = |&(id, alloc_bytes, inuse_bytes): &(u32, i64, i64)| StackRecord {
            id,
            site: None,
            frames: Cow::default(),
            end: End::Complete,
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
            modules: Vec::new(),
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
