//! 7. **Profile**: a snapshot of addresses and numbers becomes a message that `go tool pprof` and its relatives read.
//!
//! ```text
//!   Snapshot ──┐                                         ┌─> proto: messages, gzip       (Format::Proto)
//!   GoNames  ──┼─> name every frame ─> seam ─> Stacks ───┤
//!   Symbolizer ┘   (this file)        (seam.rs)          └─> text: what debug=1 shows    (Format::Text)
//! ```
//!
//! - [`names`] reads the table in which the Go side hands over the names of its addresses;
//! - `seam` decides which frames a person sees where C and Go meet;
//! - `intern` gives locations, functions and strings their numbers;
//! - `mapping` finds the object behind an address;
//! - `proto` and `text` write.
//!
//! Nothing here knows of hooks or tables of live blocks: the input is plain data, so tests make it by hand. Values in
//! a snapshot are already scaled; they are written as they are.
//!
//! Context: control.

mod comments;
mod intern;
mod mapping;
pub mod names;
mod proto;
mod seam;
mod text;

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::rc::Rc;

use crate::frame::Frame;
use crate::snapshot::{Age, Module, Snapshot, Values};
pub use names::GoNames;

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
    /// `module` is the object that the frame names. [`encode`] asks for each frame once, all frames of one object
    /// one after the other, so that an implementation needs to hold one object's debug information at a time.
    fn resolve(&mut self, frame: Frame, module: Option<&Module>, out: &mut Vec<Line>);
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
/// The paths lie one behind the other in one vector: in a profile most of what there is are paths, and a vector for each
/// would be several times the size of the message.
pub(crate) struct Stacks {
    places: Vec<Place>,
    /// Indices into `places`.
    numbers: Vec<u32>,
    /// Distinct if they were joined, none all zero.
    stacks: Vec<Stack>,
}

/// One stack as it will be shown.
pub(crate) struct Stack {
    /// Its part of [`Stacks::numbers`], leaf first.
    path: Range<usize>,
    /// The age of its blocks, if that was asked for.
    age: Option<Age>,
    /// What was allocated there.
    values: Values,
}

/// The names of all frames of a snapshot.
type Names = HashMap<Frame, Rc<[Line]>>;

/// Names and encodes `snapshot`. Never fails: what can't be named stays a bare address.
pub fn encode(snapshot: &Snapshot, go_names: &GoNames, symbolizer: &mut dyn Symbolizer, format: Format) -> Vec<u8> {
    let names = name_frames(snapshot, go_names, symbolizer);
    let stacks = Stacks::new(snapshot, &names, format != Format::ProtoEach);
    match format {
        Format::Proto | Format::ProtoEach => proto::write(snapshot, &stacks),
        Format::Text => text::write(snapshot, &stacks),
    }
}

/// Asks for every distinct frame once, by object and address.
fn name_frames(snapshot: &Snapshot, go_names: &GoNames, symbolizer: &mut dyn Symbolizer) -> Names {
    // The module is in a frame's high bits, so the set's order is "by object, then by address". One by one: collecting
    // would make a vector of all frames of all stacks first, which are a hundred times as many.
    let mut frames = BTreeSet::new();
    for record in &snapshot.stacks {
        frames.extend(record.frames.iter().copied());
    }
    frames
        .into_iter()
        .map(|frame| {
            let mut lines = Vec::new();
            if frame.is_go() {
                go_names.lines(frame.return_address(), &mut lines);
            } else {
                symbolizer.resolve(frame, mapping::named_by(frame, &snapshot.modules), &mut lines);
            }
            (frame, lines.into())
        })
        .collect()
}

impl Stacks {
    fn new(snapshot: &Snapshot, names: &Names, join: bool) -> Stacks {
        let mut places = intern::Places::default();
        // By a hash of the path, since the path is in `numbers` already. Two paths with the same hash: the later one goes
        // under the next free number.
        let mut index: HashMap<u64, usize> = HashMap::new();
        let hasher = RandomState::new();
        let frames = snapshot.stacks.iter().map(|record| record.frames.len()).sum();
        let mut numbers: Vec<u32> = Vec::with_capacity(frames);
        let mut stacks: Vec<Stack> = Vec::with_capacity(snapshot.stacks.len());
        for record in &snapshot.stacks {
            let start = numbers.len();
            for place in seam::places(record, names) {
                numbers.push(places.number(place) as u32);
            }
            let path = start..numbers.len();
            // Stacks that differed only in frames that were cut are one now.
            let mut hash = hasher.hash_one((record.age, &numbers[path.clone()]));
            let same = loop {
                match index.get(&hash) {
                    Some(&at)
                        if stacks[at].age == record.age
                            && numbers[stacks[at].path.clone()] == numbers[path.clone()] =>
                    {
                        break Some(at);
                    }
                    Some(_) => hash = hash.wrapping_add(1),
                    None => break None,
                }
            };
            match same {
                Some(at) if join => {
                    stacks[at].values = sum(stacks[at].values, record.values);
                    numbers.truncate(start);
                }
                _ => {
                    index.insert(hash, stacks.len());
                    stacks.push(Stack {
                        path,
                        age: record.age,
                        values: record.values,
                    });
                }
            }
        }
        // Viewers refuse or drop samples without any value; in a difference they are the usual case.
        stacks.retain(|stack| !stack.values.is_nothing());
        let mut stacks = Stacks {
            places: places.into_vec(),
            numbers,
            stacks,
        };
        stacks.drop_unused_places();
        stacks
    }

    fn drop_unused_places(&mut self) {
        let mut new_number = vec![None; self.places.len()];
        let mut kept = Vec::new();
        for stack in &self.stacks {
            for number in &mut self.numbers[stack.path.clone()] {
                let place = *number as usize;
                *number = *new_number[place].get_or_insert_with(|| {
                    kept.push(self.places[place].clone());
                    kept.len() as u32 - 1
                });
            }
        }
        self.places = kept;
    }

    /// The places of one stack, leaf first, by their indices.
    fn numbers(&self, stack: &Stack) -> &[u32] {
        &self.numbers[stack.path.clone()]
    }

    /// The places of one stack, leaf first.
    fn path(&self, stack: &Stack) -> impl Iterator<Item = &Place> {
        self.numbers(stack).iter().map(|&place| &self.places[place as usize])
    }

    fn total(&self) -> Values {
        self.stacks
            .iter()
            .fold(Values::default(), |total, stack| sum(total, stack.values))
    }
}

/// Saturating: an estimate of 2^63 bytes is wrong anyway, and a profile must come out.
fn sum(a: Values, b: Values) -> Values {
    Values {
        alloc_objects: a.alloc_objects.saturating_add(b.alloc_objects),
        alloc_bytes: a.alloc_bytes.saturating_add(b.alloc_bytes),
        inuse_objects: a.inuse_objects.saturating_add(b.inuse_objects),
        inuse_bytes: a.inuse_bytes.saturating_add(b.inuse_bytes),
        alloc_variance: a.alloc_variance + b.alloc_variance,
        inuse_variance: a.inuse_variance + b.inuse_variance,
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
