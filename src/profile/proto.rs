//! The gzipped profile.proto of a snapshot.

use prost::Message;
use prost::encoding::message;

use super::gzip::Gzip;
use super::intern::{Functions, Strings};
use super::mapping::Mappings;
use super::message::{Label, Line, Location, Profile, Sample, ValueType};
use super::{Stacks, allocators, comments};
use crate::snapshot::{Snapshot, Values};

/// The gzipped message for a snapshot whose stacks are named.
///
/// A message is the fields of its parts one after the other, so it is written in three: what comes before the samples, the
/// samples one by one, and the rest. All samples at once would be several times the size of the message.
pub(super) fn write(snapshot: &Snapshot, stacks: &Stacks) -> Vec<u8> {
    const SAMPLE: u32 = 2; // the tag of Profile::sample
    let mut strings = Strings::new();
    let mut functions = Functions::default();
    // Names and order of Go's own heap profile: `go tool pprof` has flags for them, and profiles with the same types
    // can be merged. `inuse_space` is last because the format takes the last one where a reader ignores the default.
    let sample_type = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ]
    .map(|(name, unit)| ValueType {
        r#type: strings.number(name),
        unit: strings.number(unit),
    })
    .to_vec();
    let bytes = strings.number("bytes");
    let mut gzip = Gzip::new();
    let head = Profile {
        sample_type,
        ..Profile::default()
    };
    gzip.put(&head.encode_to_vec());
    let mut part = Vec::new();
    for stack in &stacks.stacks {
        part.clear();
        let mut sample = sample(stacks.numbers(stack), &stacks.values(stack), bytes);
        sample.label.extend(stacks.age(stack).map(|class| Label {
            key: strings.number("age"),
            str: strings.number(class.label()),
            ..Label::default()
        }));
        message::encode(SAMPLE, &sample, &mut part);
        gzip.put(&part);
    }
    let mappings = Mappings::new(&snapshot.objects, &stacks.places, &mut strings);
    let location = (1u64..)
        .zip(&stacks.places)
        .map(|(id, place)| Location {
            id,
            mapping_id: mappings.id(place, &snapshot.objects),
            address: place.frame.map_or(0, |frame| frame.call_address()),
            line: place
                .lines
                .iter()
                .map(|line| Line {
                    function_id: functions.id(line, &mut strings),
                    line: i64::from(line.line),
                })
                .collect(),
        })
        .collect();
    let rest = Profile {
        mapping: mappings.into_vec(),
        location,
        function: functions.into_vec(),
        drop_frames: strings.number(&allocators::drop_frames()),
        time_nanos: snapshot.time_nanos,
        duration_nanos: snapshot.duration_nanos,
        period_type: Some(ValueType {
            r#type: strings.number("space"),
            unit: bytes,
        }),
        // The interval. While sampling is off it is 1, not 0: the values are scaled, so the number matters to no
        // one, but a reader that divides by it must not divide by 0. A comment says that sampling is off.
        period: i64::try_from(snapshot.interval_bytes).unwrap_or(i64::MAX).max(1),
        comment: comments::sentences(snapshot, stacks.unread)
            .iter()
            .map(|text| strings.number(text))
            .collect(),
        default_sample_type: strings.number("inuse_space"),
        string_table: strings.into_vec(),
        ..Profile::default()
    };
    gzip.put(&rest.encode_to_vec());
    gzip.finish()
}

fn sample(path: impl Iterator<Item = usize>, values: &Values, bytes: i64) -> Sample {
    // As in Go's heap profile: the mean size of a block.
    let mean =
        average(values.alloc_bytes, values.alloc_objects).or_else(|| average(values.inuse_bytes, values.inuse_objects));
    Sample {
        location_id: path.map(|place| place as u64 + 1).collect(),
        value: vec![
            values.alloc_objects,
            values.alloc_bytes,
            values.inuse_objects,
            values.inuse_bytes,
        ],
        label: mean
            .map(|num| Label {
                key: bytes,
                str: 0,
                num,
                num_unit: bytes,
            })
            .into_iter()
            .collect(),
    }
}

fn average(bytes: i64, objects: i64) -> Option<i64> {
    bytes.checked_div(objects).filter(|&mean| mean > 0)
}
