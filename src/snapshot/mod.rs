//! A copy of the tables as plain data, taken under short locks. Nothing is named or encoded here.

use std::collections::BTreeSet;

use crate::record::sampler;
use crate::snapshot::stats::Stats;
use crate::sys::clock;
use crate::sys::guard::Guard;
use crate::tables::frame::{End, ObjectId};
use crate::tables::objects::{self, Object};
use crate::tables::stacks::StackId;
use crate::tables::stacks::{self, Stack};
use crate::tables::weight;
use crate::tables::weight::Totals;
use crate::tables::{block, blocks, peak};

mod doubt;
mod select;
pub(crate) mod sort;
pub mod stats;
pub use select::{OTHER_STACKS, StackTotals, largest_stacks};

/// Scaled totals of one stack. `alloc_*` count since the start of the process, `inuse_*` what is not freed.
///
/// Signed, because the difference of two snapshots can shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Values {
    /// Blocks allocated.
    pub alloc_objects: i64,
    /// Bytes requested by them.
    pub alloc_bytes: i64,
    /// Blocks not freed.
    pub inuse_objects: i64,
    /// Bytes requested by them.
    pub inuse_bytes: i64,
    /// Variance of the estimate `alloc_bytes`, in square bytes; 0 when every allocation was sampled.
    pub alloc_variance: f64,
    /// Variance of the estimate `inuse_bytes`; of a difference an upper bound (both snapshots').
    pub inuse_variance: f64,
    /// By how much `inuse_bytes` may be too high, beside its variance, because blocks were freed past the hooks; of a difference an
    /// upper bound.
    pub inuse_doubt_bytes: u64,
}

impl Values {
    /// Whether no block and no byte is left: nothing to show.
    pub fn is_nothing(&self) -> bool {
        (
            self.alloc_objects,
            self.alloc_bytes,
            self.inuse_objects,
            self.inuse_bytes,
        ) == (0, 0, 0, 0)
    }

    /// The sum. Saturating: an estimate of 2^63 bytes is wrong anyway, and a profile must come out.
    #[must_use]
    pub fn plus(self, other: Values) -> Values {
        Values {
            alloc_objects: self.alloc_objects.saturating_add(other.alloc_objects),
            alloc_bytes: self.alloc_bytes.saturating_add(other.alloc_bytes),
            inuse_objects: self.inuse_objects.saturating_add(other.inuse_objects),
            inuse_bytes: self.inuse_bytes.saturating_add(other.inuse_bytes),
            alloc_variance: self.alloc_variance + other.alloc_variance,
            inuse_variance: self.inuse_variance + other.inuse_variance,
            inuse_doubt_bytes: self.inuse_doubt_bytes.saturating_add(other.inuse_doubt_bytes),
        }
    }

    /// Half the width of the 95 % interval of `alloc_bytes`.
    pub fn alloc_margin95(&self) -> u64 {
        weight::margin95(self.alloc_variance)
    }

    /// Half the width of the 95 % interval of `inuse_bytes`, with what is in doubt.
    pub fn inuse_margin95(&self) -> u64 {
        weight::margin95(self.inuse_variance).saturating_add(self.inuse_doubt_bytes)
    }
}

/// Which live blocks a snapshot takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only blocks allocated since this mark ([`block::mark`]); 0 for all.
    pub since_mark: u32,
    /// Only blocks of at least this age.
    pub min_age_nanos: u64,
    /// Only blocks of at most this age.
    pub max_age_nanos: u64,
    /// A record for each stack and [`Age`], instead of one for each stack.
    pub by_age: bool,
    /// What was live at the last [`peak`], instead of what is live now. Then no other field may be set.
    pub peak: bool,
}

/// How old a block is, in classes that a person thinks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Age {
    /// Less than a minute.
    UnderMinute = 0,
    /// Less than ten minutes.
    UnderTenMinutes = 1,
    /// Less than an hour.
    UnderHour = 2,
    /// An hour or more.
    Hours = 3,
}

impl Age {
    /// All classes, youngest first.
    pub const ALL: [Age; 4] = [Age::UnderMinute, Age::UnderTenMinutes, Age::UnderHour, Age::Hours];

    /// The class of an age.
    pub fn of(nanos: u64) -> Age {
        const MINUTE: u64 = 60_000_000_000;
        match nanos / MINUTE {
            0 => Age::UnderMinute,
            1..10 => Age::UnderTenMinutes,
            10..60 => Age::UnderHour,
            _ => Age::Hours,
        }
    }

    /// What the profile's label says. No `:` or `,`, which mean something to `go tool pprof -tagfocus`.
    pub fn label(self) -> &'static str {
        match self {
            Age::UnderMinute => "under 1m",
            Age::UnderTenMinutes => "1m to 10m",
            Age::UnderHour => "10m to 1h",
            Age::Hours => "over 1h",
        }
    }
}

impl Filter {
    fn takes(&self, entry: &block::SampledAlloc, now: u64) -> bool {
        let age = now.saturating_sub(entry.time_nanos);
        entry.mark >= self.since_mark && age >= self.min_age_nanos && age <= self.max_age_nanos
    }

    /// What has been freed since the peak is known by stack alone: it has no age any more, and no mark.
    fn is_possible(&self) -> bool {
        let peak = Filter {
            peak: true,
            ..Filter::ALL
        };
        !self.peak || *self == peak
    }

    /// Every live block.
    pub const ALL: Filter = Filter {
        since_mark: 0,
        min_age_nanos: 0,
        max_age_nanos: u64::MAX,
        by_age: false,
        peak: false,
    };
}

/// One distinct stack and what was allocated there. Small, because there may be a quarter of a million: the stack itself is
/// that of the table of stacks.
#[derive(Clone, Copy, Debug)]
pub struct StackRecord {
    /// The stack; its fields are also this record's.
    pub stack: &'static Stack,
    /// The age of its blocks, when the filter asked for it; then several records have one `id`.
    pub age: Option<Age>,
    /// What was allocated there.
    pub values: Values,
}

impl std::ops::Deref for StackRecord {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        self.stack
    }
}

/// What the tables held at one moment, or the difference of two such moments.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Wall-clock time, nanoseconds since the epoch.
    pub time_nanos: i64,
    /// 0 for a snapshot; the time between the two for a difference.
    pub duration_nanos: i64,
    /// Mean bytes between samples when the snapshot was taken.
    pub interval_bytes: u64,
    /// Live bytes at the peak that this is of; `None` for a snapshot of now.
    pub peak_bytes: Option<u64>,
    /// Stacks with any non-zero value, by `id` ascending.
    pub stacks: Vec<StackRecord>,
    /// Every object that a frame names, by id ascending.
    pub objects: Vec<Object>,
    /// Counters at that time.
    pub stats: Stats,
}

/// Stands for a stack that another thread is just adding to the table.
static NOT_YET_THERE: Stack = Stack {
    id: u32::MAX,
    end: End::Complete,
    site: None,
    frames: &[],
};

/// Copies the tables. Holds the lock of one shard of the table of blocks at a time, for a copy of its entries; allocates
/// nothing meanwhile. With a filter, in-use values are those of the blocks that pass, and so are the alloc values: what
/// has been freed is of no mark and no age. `None` when memory is short, or when the filter wants a part of the peak. Context:
/// outside hooks.
pub fn take(filter: Filter) -> Option<Snapshot> {
    if !filter.is_possible() {
        return None;
    }
    let _guard = Guard::enter();
    crate::record::settings::read_environment_once();
    blocks::tidy();
    // Stacks that appear from here on belong to the next snapshot.
    let stack_count = stacks::end_of_ids();
    let classes = if filter.by_age { Age::ALL.len() } else { 1 };
    // The sums go right where they stay: a second vector would be half as much again in memory. Until the end objects are in
    // fixed point, as bits.
    let mut stacks: Vec<StackRecord> = Vec::new();
    stacks.try_reserve_exact(stack_count * classes).ok()?;
    stacks.extend((0..stack_count * classes).map(|index| StackRecord {
        stack: stacks::get(StackId((index / classes) as u32)).map_or(&NOT_YET_THERE, |record| record.stack()),
        age: filter.by_age.then(|| Age::ALL[index % classes]),
        values: Values::default(),
    }));
    let now = clock::monotonic_coarse_nanos();
    let peak = filter.peak.then(peak::last);
    let mut doubt = doubt::Doubt::new(stack_count)?;
    blocks::for_each(|entry| {
        doubt.add(entry);
        let class = match filter.by_age {
            true => Age::of(now.saturating_sub(entry.time_nanos)) as usize,
            false => 0,
        };
        if filter.takes(entry, now)
            && peak.is_none_or(|peak| entry.mark < peak.mark)
            && let Some(record) = stacks.get_mut(entry.stack.0 as usize * classes + class)
        {
            let sum = &mut record.values;
            sum.inuse_objects = sum.inuse_objects.wrapping_add(entry.weight.objects_fixed() as i64);
            sum.inuse_bytes = sum.inuse_bytes.wrapping_add(entry.bytes() as i64);
            sum.inuse_variance += entry.weight.variance(entry.requested_size) as f64;
        }
    });
    for stack in &mut stacks {
        let Some(record) = stacks::get(StackId(stack.stack.id)) else {
            stack.values = Values::default();
            continue;
        };
        let mut inuse = Totals {
            objects_fixed: stack.values.inuse_objects as u64,
            bytes: stack.values.inuse_bytes as u64,
            variance: stack.values.inuse_variance,
        };
        if let Some(peak) = peak {
            let freed = record.freed_since.of(peak.mark);
            inuse.objects_fixed = inuse.objects_fixed.wrapping_add(freed.objects_fixed);
            inuse.bytes = inuse.bytes.wrapping_add(freed.bytes);
            inuse.variance += freed.variance;
        }
        let alloc = match filter == Filter::ALL {
            // A sample enters the table of blocks a moment before it is added to its stack's totals.
            true => record.totals().at_least(inuse),
            false => inuse,
        };
        stack.values = Values {
            alloc_objects: objects(alloc.objects_fixed),
            alloc_bytes: alloc.bytes as i64,
            inuse_objects: objects(inuse.objects_fixed),
            inuse_bytes: inuse.bytes as i64,
            alloc_variance: alloc.variance,
            inuse_variance: inuse.variance,
            inuse_doubt_bytes: doubt.of(record.id(), inuse.bytes),
        };
    }
    stacks.retain(|stack| !stack.values.is_nothing());
    Some(Snapshot {
        time_nanos: peak.map_or_else(clock::wall_nanos, |peak| peak.time_nanos),
        duration_nanos: 0,
        interval_bytes: sampler::interval(),
        objects: objects_of(&stacks),
        peak_bytes: peak.map(|peak| peak.bytes),
        stacks,
        stats: crate::snapshot::stats::read_with(doubt.sum()),
    })
}

fn objects(fixed: u64) -> i64 {
    weight::whole_objects(fixed) as i64
}

/// Every object that a frame lies in. Go's frames don't say which; their object is looked up now, since Go code is
/// never unloaded.
fn objects_of(stacks: &[StackRecord]) -> Vec<Object> {
    let mut seen = vec![false; objects::MAX_OBJECTS];
    let mut see = |id: ObjectId| {
        if let Some(seen) = seen.get_mut(id.0 as usize) {
            *seen = true;
        }
    };
    objects::renew();
    let mut go: Option<&objects::Entry> = None;
    for frame in stacks.iter().flat_map(|stack| stack.frames.iter()) {
        if !frame.is_go() {
            see(frame.object());
        } else if !go.is_some_and(|known| (known.map_start..known.map_end).contains(&frame.call_address())) {
            go = objects::find(frame.call_address());
            if let Some(entry) = go {
                see(entry.id);
            }
        }
    }
    let ids = (0..=u16::MAX).zip(seen).filter(|(_, seen)| *seen);
    ids.filter_map(|(id, _)| objects::describe(ObjectId(id))).collect()
}

impl Snapshot {
    /// Turns this into what happened since `earlier`: all values are subtracted, stacks that didn't change go away.
    pub fn subtract(&mut self, earlier: &Snapshot) {
        self.duration_nanos = self.time_nanos - earlier.time_nanos;
        for stack in &mut self.stacks {
            let Ok(index) = earlier.stacks.binary_search_by_key(&stack.id, |stack| stack.id) else {
                continue;
            };
            let Some(before) = earlier.stacks.get(index).map(|stack| stack.values) else {
                continue;
            };
            let now = stack.values;
            stack.values = Values {
                alloc_objects: now.alloc_objects - before.alloc_objects,
                alloc_bytes: now.alloc_bytes - before.alloc_bytes,
                inuse_objects: now.inuse_objects - before.inuse_objects,
                inuse_bytes: now.inuse_bytes - before.inuse_bytes,
                alloc_variance: (now.alloc_variance - before.alloc_variance).max(0.0),
                inuse_variance: now.inuse_variance + before.inuse_variance,
                inuse_doubt_bytes: now.inuse_doubt_bytes.saturating_add(before.inuse_doubt_bytes),
            };
        }
        self.stacks.retain(|stack| !stack.values.is_nothing());
    }

    /// The distinct return addresses in Go code, ascending.
    pub fn go_return_addresses(&self) -> Vec<u64> {
        // One by one, as in the profile: the stacks' frames are many times as many as the distinct ones.
        let mut addresses = BTreeSet::new();
        for stack in &self.stacks {
            let go = stack.frames.iter().filter(|frame| frame.is_go());
            addresses.extend(go.map(|frame| frame.return_address()));
        }
        addresses.into_iter().collect()
    }
}
