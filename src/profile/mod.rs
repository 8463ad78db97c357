//! A snapshot of addresses and numbers becomes a message that `go tool pprof` and its relatives read.
//!
//! ```text
//!   Snapshot ──┐                                           ┌─> proto: messages, gzip       (Format::Proto)
//!   GoNames  ──┼─> name every frame ─> frames ─> Stacks ───┤
//!   Symbolizer ┘   (this file)        (frames.rs)          └─> text: what debug=1 shows    (Format::Text)
//! ```
//!
//! - [`go_names`] reads the table in which the Go side hands over the names of its addresses;
//! - `frames` decides which frames a person sees where C and Go meet;
//! - `intern` gives locations, functions and strings their numbers;
//! - `mapping` finds the object behind an address;
//! - `proto` and `text` write.
//!
//! Nothing here knows of hooks or tables of live blocks: the input is plain data, so tests make it by hand. Values in
//! a snapshot are already scaled; they are written as they are.
//!
//! Context: outside hooks.

mod allocators;
mod comments;
mod frames;
pub mod go_names;
mod gzip;
mod intern;
mod mapping;
mod message;
mod proto;
pub mod symbols;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use crate::snapshot::sort;
use crate::snapshot::{Age, Snapshot, StackRecord, Values};
use crate::tables::frame::Frame;
use crate::tables::objects::Object;
pub use go_names::GoNames;

/// What [`encode`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// profile.proto, gzipped: <https://github.com/google/pprof/blob/main/proto/profile.proto>.
    Proto,
    /// The text that Go shows for `debug=1`; `go tool pprof` reads it too, without names.
    Text,
    /// As `Proto`, with one sample for each record of the snapshot, in the same order, even where two look the same.
    ProtoEach,
}

/// One function at one place in the source. Several belong to one address where the compiler inlined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// Name as a person writes it, demangled.
    pub function: String,
    /// Name in the symbol table.
    pub system_name: String,
    /// Source file; empty when only a symbol table named the address.
    pub file: String,
    /// Line of the call in `file`; 0 when not known.
    pub line: u32,
    /// First line of the function; 0 when not known.
    pub start_line: u32,
}

/// Names addresses of native code.
pub trait Symbolizer {
    /// Appends what is at `frame` to `out`, innermost first; nothing when it isn't known. `out` is empty at the call.
    ///
    /// `object` is the object that the frame names. [`encode`] asks for each frame once, all frames of one object
    /// one after the other, so that an implementation needs to hold one object's debug information at a time.
    fn resolve(&mut self, frame: Frame, object: Option<&Object>, out: &mut Vec<Line>);

    /// Of how many objects it has read less than there is: for want of memory, or because of damage.
    fn unread(&self) -> u64 {
        0
    }
}

/// A physical frame as it will be shown: where it is, and the lines that are left of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// `None` for a frame that we made up, such as `[stack cut: too deep]`.
    frame: Option<Frame>,
    /// Innermost first. Empty for an address that nobody could name.
    lines: Rc<[Line]>,
}

/// All stacks of a snapshot, named and cut, each distinct place once.
///
/// In a profile most of what there is are paths, so they are kept as they are in the message, and values stay where they are:
/// in the records.
pub(crate) struct Stacks<'a> {
    records: &'a [StackRecord],
    places: Vec<Place>,
    paths: Paths,
    /// Indices into `records`: those that are shown as one stack lie side by side.
    order: Vec<u32>,
    /// Distinct if they were joined, none all zero.
    stacks: Vec<Stack>,
    /// As [`Symbolizer::unread`] says.
    unread: u64,
}

/// One stack as it will be shown: its part of [`Stacks::order`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Stack {
    first: u32,
    end: u32,
}

/// The paths of all records: numbers of places, leaf first, one path behind the other.
#[derive(Default)]
struct Paths {
    /// Varints: seven bits in each byte, the lowest first; the highest bit says that there is more.
    bytes: Vec<u8>,
    /// Where each path begins.
    starts: Vec<u32>,
}

impl Paths {
    /// Begins the next path.
    fn begin(&mut self) {
        self.starts.push(self.bytes.len() as u32); // the table of stacks's memory has a limit far below
    }

    fn push(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Equal for equal paths.
    fn bytes(&self, path: u32) -> &[u8] {
        let path = path as usize;
        let end = self.starts.get(path + 1).map_or(self.bytes.len(), |&end| end as usize);
        &self.bytes[self.starts[path] as usize..end]
    }

    fn numbers(&self, path: u32) -> impl Iterator<Item = usize> {
        let mut bytes = self.bytes(path).iter();
        std::iter::from_fn(move || {
            let mut number = 0;
            for (&byte, shift) in bytes.by_ref().zip((0..).step_by(7)) {
                number |= usize::from(byte & 0x7F) << shift;
                if byte & 0x80 == 0 {
                    return Some(number);
                }
            }
            None
        })
    }
}

/// The names of all frames of a snapshot.
type Names = HashMap<Frame, Rc<[Line]>>;

/// Names and encodes `snapshot`. Never fails: what can't be named stays a bare address.
pub fn encode(snapshot: &Snapshot, go_names: &GoNames, symbolizer: &mut dyn Symbolizer, format: Format) -> Vec<u8> {
    let names = name_frames(snapshot, go_names, symbolizer);
    let mut stacks = Stacks::new(snapshot, &names, format != Format::ProtoEach);
    stacks.unread = symbolizer.unread();
    match format {
        Format::Proto | Format::ProtoEach => proto::write(snapshot, &stacks),
        Format::Text => text::write(snapshot, &stacks),
    }
}

/// Asks for every distinct frame once, by object and address.
fn name_frames(snapshot: &Snapshot, go_names: &GoNames, symbolizer: &mut dyn Symbolizer) -> Names {
    // The object is in a frame's high bits, so the set's order is "by object, then by address". One by one: collecting
    // would make a vector of all frames of all stacks first, which are a hundred times as many.
    let mut frames = BTreeSet::new();
    for record in &snapshot.stacks {
        frames.extend(record.frames.iter().copied().filter(|frame| frame.mark().is_none()));
    }
    frames
        .into_iter()
        .map(|frame| {
            let mut lines = Vec::new();
            if frame.is_go() {
                go_names.lines(frame.return_address(), &mut lines);
            } else {
                symbolizer.resolve(frame, mapping::named_by(frame, &snapshot.objects), &mut lines);
            }
            (frame, lines.into())
        })
        .collect()
}

impl<'a> Stacks<'a> {
    fn new(snapshot: &'a Snapshot, names: &Names, join: bool) -> Stacks<'a> {
        let records = &snapshot.stacks[..];
        let mut places = intern::Places::default();
        let mut paths = Paths::default();
        paths.starts.reserve_exact(records.len());
        // A byte for most; what isn't filled stays untouched, while growing would leave as much again behind.
        let frames: usize = records.iter().map(|record| record.frames.len() + 1).sum();
        paths.bytes.reserve_exact(frames + frames / 4);
        for record in records {
            paths.begin();
            for place in frames::places(record, names) {
                paths.push(places.number(place));
            }
        }
        let count = records.len();
        let key = |at: u32| (paths.bytes(at), records[at as usize].age);
        let mut stacks;
        let order: Vec<u32> = if join {
            // Stacks that differed only in frames that were cut are one now, in the place of their first record.
            let order = sort::indices(count, &mut |a, b| key(a).cmp(&key(b)).then(a.cmp(&b)));
            stacks = vec![Stack::default(); count];
            let mut first = 0;
            for run in order.chunk_by(|&a, &b| key(a) == key(b)) {
                let end = first + run.len() as u32;
                stacks[run[0] as usize] = Stack { first, end };
                first = end;
            }
            order
        } else {
            stacks = (0..count as u32).map(|first| Stack { first, end: first + 1 }).collect();
            (0..count as u32).collect()
        };
        let mut all = Stacks {
            records,
            places: places.into_vec(),
            paths,
            order,
            stacks: Vec::new(),
            unread: 0,
        };
        // Viewers refuse or drop samples without any value; in a difference they are the usual case.
        stacks.retain(|stack| stack.first < stack.end && !all.values(stack).is_nothing());
        all.stacks = stacks;
        all.drop_unused_places();
        all
    }

    /// Those of stacks without any value may be nobody's.
    fn drop_unused_places(&mut self) {
        let mut used = vec![false; self.places.len()];
        for number in self.stacks.iter().flat_map(|stack| self.numbers(stack)) {
            used[number] = true;
        }
        if used.iter().all(|&used| used) {
            return;
        }
        let mut kept = 0;
        let mut new_numbers = Vec::with_capacity(used.len());
        for used in used {
            new_numbers.push(used.then_some(kept));
            kept += usize::from(used);
        }
        let mut numbers = new_numbers.iter();
        self.places.retain(|_| numbers.next().is_some_and(Option::is_some));
        let mut paths = Paths::default();
        for record in 0..self.records.len() as u32 {
            paths.begin();
            for number in self.paths.numbers(record).filter_map(|number| new_numbers[number]) {
                paths.push(number);
            }
        }
        self.paths = paths;
    }

    fn record(&self, stack: &Stack) -> u32 {
        self.order[stack.first as usize]
    }

    /// What was allocated there.
    fn values(&self, stack: &Stack) -> Values {
        self.order[stack.first as usize..stack.end as usize]
            .iter()
            .map(|&record| self.records[record as usize].values)
            .fold(Values::default(), Values::plus)
    }

    /// The age of its blocks, if that was asked for.
    fn age(&self, stack: &Stack) -> Option<Age> {
        self.records[self.record(stack) as usize].age
    }

    /// The places of one stack, leaf first, by their indices.
    fn numbers(&self, stack: &Stack) -> impl Iterator<Item = usize> {
        self.paths.numbers(self.record(stack))
    }

    /// The places of one stack, leaf first.
    fn path(&self, stack: &Stack) -> impl Iterator<Item = &Place> {
        self.numbers(stack).map(|place| &self.places[place])
    }

    fn total(&self) -> Values {
        self.stacks
            .iter()
            .map(|stack| self.values(stack))
            .fold(Values::default(), Values::plus)
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
