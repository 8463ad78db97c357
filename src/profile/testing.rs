//! Hand-made stacks for tests.
//!
//! A frame is written `C f@a.c:3`, `Go main.f@main.go:7`, `C f` (a name from a symbol table) or `C` (nothing known).
//! ` < ` leads from an inlined function to the one around it.

use std::collections::HashMap;

use super::{Line, Names, Symbolizer};
use crate::snapshot::stats::Stats;
use crate::snapshot::{Snapshot, StackRecord, Values};
use crate::tables::frame::{End, Frame, ObjectId};
use crate::tables::objects::Object;
use crate::tables::stacks::{Site, Stack};

pub(super) const C_OBJECT: ObjectId = ObjectId(1);

pub(super) fn line(text: &str) -> Line {
    let (function, place) = text.split_once('@').unwrap_or((text, ""));
    let (file, line) = place.rsplit_once(':').unwrap_or(("", "0"));
    Line {
        function: function.to_owned(),
        system_name: function.to_owned(),
        file: file.to_owned(),
        line: line.parse().unwrap(),
        start_line: 0,
    }
}

/// What [`line`] reads.
pub(super) fn show(line: &Line) -> String {
    match line.file.as_str() {
        "" => line.function.clone(),
        file => format!("{}@{file}:{}", line.function, line.line),
    }
}

/// `file:line function`, as the header hands it over.
pub(super) fn site(text: &'static str) -> Site {
    let (place, function) = text.split_once(' ').unwrap();
    let (file, line) = place.split_once(':').unwrap();
    Site {
        file: file.as_bytes(),
        line: line.parse().unwrap(),
        function: function.as_bytes(),
    }
}

/// Frames with addresses of their own from `base` on, and their names.
pub(super) fn frames(base: u64, texts: &[&str]) -> (Vec<Frame>, HashMap<Frame, Vec<Line>>) {
    let mut frames = Vec::new();
    let mut names = HashMap::new();
    for (at, text) in (base..).step_by(16).zip(texts) {
        let (kind, lines) = text.split_once(' ').unwrap_or((text, ""));
        let frame = if kind == "Go" {
            Frame::go(at)
        } else {
            Frame::new(at, C_OBJECT)
        };
        let lines = lines.split(" < ").filter(|text| !text.is_empty()).map(line).collect();
        frames.push(frame);
        names.insert(frame, lines);
    }
    (frames, names)
}

pub(super) fn shared(names: HashMap<Frame, Vec<Line>>) -> Names {
    names.into_iter().map(|(frame, lines)| (frame, lines.into())).collect()
}

pub(super) fn record(id: u32, frames: Vec<Frame>, values: [i64; 4]) -> StackRecord {
    let [alloc_objects, alloc_bytes, inuse_objects, inuse_bytes] = values;
    let values = Values {
        alloc_objects,
        alloc_bytes,
        inuse_objects,
        inuse_bytes,
        ..Values::default()
    };
    StackRecord {
        stack: Stack::made_up(id, None, frames, End::Complete),
        age: None,
        values,
    }
}

pub(super) fn object(id: u16, start: u64, path: &str) -> Object {
    Object {
        id: ObjectId(id),
        start,
        limit: start + 0x10_0000,
        file_offset: 0x1000,
        load_bias: 0,
        path: path.to_owned(),
        build_id: vec![0xab, 0xcd, id as u8],
        loaded: true,
    }
}

pub(super) fn snapshot(stacks: Vec<StackRecord>, objects: Vec<Object>) -> Snapshot {
    Snapshot {
        time_nanos: 1_700_000_000_000_000_000,
        duration_nanos: 0,
        interval_bytes: 524_288,
        peak_bytes: None,
        stacks,
        objects,
        stats: Stats::default(),
    }
}

/// A symbolizer that knows what it was told.
#[derive(Default)]
pub(super) struct Told {
    pub(super) names: HashMap<Frame, Vec<Line>>,
    /// Frames in the order in which they were asked for.
    pub(super) asked: Vec<Frame>,
}

impl Symbolizer for Told {
    fn resolve(&mut self, frame: Frame, _: Option<&Object>, out: &mut Vec<Line>) {
        self.asked.push(frame);
        out.extend(self.names.get(&frame).into_iter().flatten().cloned());
    }
}
