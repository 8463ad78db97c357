//! Snapshots by hand, and the messages that come out.

use std::io::Read;

use proptest::prelude::*;
use prost::Message;

use super::testing::{C_OBJECT, Told, frames, object, record, site, snapshot};
use super::*;
use crate::snapshot::StackRecord;
use crate::tables::frame::{End, ObjectId};
use crate::tables::stacks::Stack;

fn proto_of(snapshot: &Snapshot, told: &mut Told) -> message::Profile {
    let bytes = encode(snapshot, &GoNames::default(), told, Format::Proto);
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_end(&mut plain)
        .unwrap();
    message::Profile::decode(&plain[..]).unwrap()
}

fn text_of(snapshot: &Snapshot, told: &mut Told) -> String {
    String::from_utf8(encode(snapshot, &GoNames::default(), told, Format::Text)).unwrap()
}

fn string(profile: &message::Profile, number: i64) -> &str {
    &profile.string_table[usize::try_from(number).unwrap()]
}

/// What google/pprof's CheckValid and the stricter servers ask for.
fn check_rules(profile: &message::Profile) {
    assert_eq!(profile.string_table[0], "");
    let strings = profile.string_table.len() as i64;
    let mut used: Vec<i64> = vec![profile.default_sample_type];
    used.extend(&profile.comment);
    for (id, mapping) in (1..).zip(&profile.mapping) {
        assert_eq!(mapping.id, id);
        assert!(mapping.memory_start < mapping.memory_limit);
        used.extend([mapping.filename, mapping.build_id]);
    }
    for (id, function) in (1..).zip(&profile.function) {
        assert_eq!(function.id, id);
        assert_ne!(function.name, 0, "a function without name");
        used.extend([function.name, function.system_name, function.filename]);
    }
    for (id, location) in (1..).zip(&profile.location) {
        assert_eq!(location.id, id);
        assert!(location.mapping_id <= profile.mapping.len() as u64);
        for line in &location.line {
            assert!((1..=profile.function.len() as u64).contains(&line.function_id));
        }
    }
    for sample in &profile.sample {
        assert_eq!(sample.value.len(), profile.sample_type.len());
        assert!(sample.value.iter().any(|&value| value != 0), "a sample without value");
        assert!(!sample.location_id.is_empty(), "a sample without stack");
        for id in &sample.location_id {
            assert!((1..=profile.location.len() as u64).contains(id));
        }
        used.extend(
            sample
                .label
                .iter()
                .flat_map(|label| [label.key, label.str, label.num_unit]),
        );
        assert!(sample.label.iter().all(|label| label.key != 0 && label.num > 0));
    }
    assert!(used.iter().all(|number| (0..strings).contains(number)));
    assert!(profile.period >= 1);
    for &comment in &profile.comment {
        assert!(!string(profile, comment).starts_with("executableInfo="));
    }
}

fn leak() -> (Snapshot, Told) {
    let (frames, names) = frames(
        0x40_1001,
        &[
            "C pack@a.c:3 < fill@a.c:9",
            "C",
            "Go main.main@main.go:7",
            "C run@a.c:20",
        ],
    );
    let stacks = vec![record(1, frames, [3, 300, 2, 200])];
    let snapshot = snapshot(stacks, vec![object(1, 0x40_0000, "/srv/app")]);
    (
        snapshot,
        Told {
            names,
            ..Told::default()
        },
    )
}

#[test]
fn the_header_is_that_of_a_go_heap_profile() {
    let (snapshot, mut told) = leak();
    let profile = proto_of(&snapshot, &mut told);
    let types: Vec<_> = profile
        .sample_type
        .iter()
        .map(|t| (string(&profile, t.r#type), string(&profile, t.unit)))
        .collect();
    assert_eq!(
        types,
        [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes")
        ]
    );
    assert_eq!(string(&profile, profile.default_sample_type), "inuse_space");
    let period_type = profile.period_type.unwrap();
    assert_eq!(string(&profile, period_type.r#type), "space");
    assert_eq!(string(&profile, period_type.unit), "bytes");
    assert_eq!(profile.period, 524_288);
    assert_eq!(profile.time_nanos, 1_700_000_000_000_000_000);
    assert_eq!(profile.duration_nanos, 0);
    check_rules(&profile);
}

#[test]
fn the_period_is_never_zero_and_off_is_said() {
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    snapshot.interval_bytes = 0;
    let profile = proto_of(&snapshot, &mut Told::default());
    assert_eq!(profile.period, 1);
    assert!(
        comments(&profile)
            .iter()
            .any(|text| text.starts_with("sampling is off"))
    );
    assert!(text_of(&snapshot, &mut Told::default()).contains("\n# sampling = off\n"));
}

fn comments(profile: &message::Profile) -> Vec<&str> {
    profile.comment.iter().map(|&number| string(profile, number)).collect()
}

#[test]
fn a_location_has_the_address_of_the_call_and_all_its_lines() {
    let (snapshot, mut told) = leak();
    let profile = proto_of(&snapshot, &mut told);
    assert_eq!(profile.sample[0].value, [3, 300, 2, 200]);
    assert_eq!(profile.sample[0].location_id, [1, 2, 3, 4]);
    let label = profile.sample[0].label[0];
    assert_eq!((string(&profile, label.key), label.num), ("bytes", 100));
    assert_eq!(string(&profile, label.num_unit), "bytes");
    assert_eq!(profile.location[0].address, 0x40_1000);
    let lines: Vec<_> = profile.location[0]
        .line
        .iter()
        .map(|line| {
            let function = profile.function[line.function_id as usize - 1];
            (
                string(&profile, function.name),
                string(&profile, function.filename),
                line.line,
            )
        })
        .collect();
    assert_eq!(lines, [("pack", "a.c", 3), ("fill", "a.c", 9)]);
}

#[test]
fn an_object_has_one_mapping_marked_as_named_whatever_lies_in_it() {
    let (snapshot, mut told) = leak();
    let profile = proto_of(&snapshot, &mut told);
    // The Go frame has no names here (no table was given), so it is bare like the second C frame.
    let ids: Vec<u64> = profile.location.iter().map(|location| location.mapping_id).collect();
    assert_eq!(ids, [1, 1, 1, 1]);
    let [mapping] = profile.mapping[..] else {
        panic!("{:?}", profile.mapping)
    };
    assert_eq!(string(&profile, mapping.filename), "/srv/app");
    assert_eq!(string(&profile, mapping.build_id), "abcd01");
    assert_eq!((mapping.memory_start, mapping.file_offset), (0x40_0000, 0x1000));
    let flags = [
        mapping.has_functions,
        mapping.has_filenames,
        mapping.has_line_numbers,
        mapping.has_inline_frames,
    ];
    assert_eq!(flags, [true; 4]);
}

#[test]
fn the_program_is_the_first_mapping_even_when_nothing_lies_in_it() {
    let program = std::env::current_exe().unwrap();
    let objects = vec![
        object(1, 0x7f00_0000_0000, "/lib/libz.so"),
        object(2, 0x40_0000, program.to_str().unwrap()),
    ];
    let frames = vec![Frame::new(0x7f00_0000_1000, ObjectId(1))];
    let snapshot = snapshot(vec![record(1, frames, [1, 1, 1, 1])], objects);
    let profile = proto_of(&snapshot, &mut Told::default());
    check_rules(&profile);
    assert_eq!(string(&profile, profile.mapping[0].filename), program.to_str().unwrap());
    assert_eq!(profile.location[0].mapping_id, 2);
}

#[test]
fn an_unknown_program_is_the_object_that_holds_go_code() {
    let objects = vec![
        object(1, 0x7f00_0000_0000, "/lib/libz.so"),
        object(2, 0x40_0000, "/srv/app"),
    ];
    let frames = vec![Frame::new(0x7f00_0000_1000, ObjectId(1)), Frame::go(0x40_1000)];
    let snapshot = snapshot(vec![record(1, frames, [1, 1, 1, 1])], objects);
    let profile = proto_of(&snapshot, &mut Told::default());
    assert_eq!(string(&profile, profile.mapping[0].filename), "/srv/app");
    assert_eq!(profile.location[1].mapping_id, 1);
}

#[test]
fn the_same_address_in_two_libraries_is_two_locations() {
    let mut gone = object(1, 0x7f00_0000_0000, "/lib/gone.so");
    gone.loaded = false;
    let objects = vec![gone, object(2, 0x7f00_0000_0000, "/lib/new.so")];
    let at = 0x7f00_0000_1001;
    let stacks = vec![
        record(1, vec![Frame::new(at, ObjectId(1))], [1, 1, 1, 1]),
        record(2, vec![Frame::new(at, ObjectId(2))], [1, 1, 1, 1]),
        // Nobody knows the object.
        record(3, vec![Frame::new(at, ObjectId::UNKNOWN)], [1, 1, 1, 1]),
    ];
    let snapshot = snapshot(stacks, objects);
    let profile = proto_of(&snapshot, &mut Told::default());
    check_rules(&profile);
    let mappings: Vec<u64> = profile.location.iter().map(|l| l.mapping_id).collect();
    assert_eq!(mappings, [1, 2, 0]);
}

#[test]
fn two_sites_at_one_return_address_are_two_locations() {
    // Two arms of a condition that end in one call: the compiler merges them.
    let (frames, names) = frames(0x40_1001, &["C run@a.c:5"]);
    let with_site = |id, text| StackRecord {
        stack: Stack::made_up(id, Some(site(text)), frames.clone(), End::Complete),
        ..record(id, Vec::new(), [1, 1, 1, 1])
    };
    let stacks = vec![with_site(1, "a.c:5 run"), with_site(2, "a.c:7 run")];
    let mut told = Told {
        names,
        ..Told::default()
    };
    let profile = proto_of(&snapshot(stacks, vec![object(1, 0x40_0000, "/srv/app")]), &mut told);
    check_rules(&profile);
    let lines: Vec<i64> = profile.location.iter().map(|l| l.line[0].line).collect();
    assert_eq!(lines, [5, 7]);
    assert_eq!(profile.location[0].address, profile.location[1].address);
    assert_eq!(profile.function.len(), 1);
}

#[test]
fn stacks_that_look_the_same_are_one_sample_and_nothing_is_none() {
    let (frames, names) = frames(0x40_1001, &["C malloc", "C __libc_malloc", "C run@a.c:5"]);
    let stacks = vec![
        record(1, vec![frames[0], frames[2]], [2, 20, 1, 10]),
        record(2, vec![frames[1], frames[2]], [1, 4, -1, -10]),
        record(3, vec![frames[2]], [0, 0, 0, 0]),
        // Cancel out, and leave no place behind.
        record(4, vec![Frame::new(0x40_9001, C_OBJECT)], [0, 0, 1, 10]),
        record(5, vec![frames[0], Frame::new(0x40_9001, C_OBJECT)], [0, 0, -1, -10]),
    ];
    let mut told = Told {
        names,
        ..Told::default()
    };
    let profile = proto_of(&snapshot(stacks, Vec::new()), &mut told);
    check_rules(&profile);
    assert_eq!(profile.sample.len(), 1);
    assert_eq!(profile.sample[0].value, [3, 24, 0, 0]);
    assert_eq!(profile.location.len(), 1);
}

#[test]
fn every_frame_is_asked_for_once_and_by_object() {
    let a = |at| Frame::new(at, ObjectId(1));
    let b = |at| Frame::new(at, ObjectId(2));
    let stacks = vec![
        record(1, vec![b(5), a(9), b(1), Frame::go(7)], [1, 1, 1, 1]),
        record(2, vec![a(3), b(5), a(9)], [1, 1, 1, 1]),
    ];
    let mut told = Told::default();
    encode(
        &snapshot(stacks, Vec::new()),
        &GoNames::default(),
        &mut told,
        Format::Proto,
    );
    assert_eq!(told.asked, [a(3), a(9), b(1), b(5)]);
}

#[test]
fn losses_are_commented_by_their_words_and_only_when_there_are_any() {
    let mut snapshot = snapshot(Vec::new(), Vec::new());
    snapshot.stats.lost.stacks_too_deep = 7;
    snapshot.stats.own_bytes = 4096;
    let profile = proto_of(&snapshot, &mut Told::default());
    let comments = comments(&profile);
    assert!(comments.contains(&"stacks cut: too deep: 7"), "{comments:?}");
    assert!(comments.contains(&"cgoheap's own tables: 4096 bytes"));
    assert!(comments.contains(&"Go frames: not asked for"));
    assert_eq!(comments.iter().filter(|text| text.contains("stacks cut")).count(), 1);
    let text = text_of(&snapshot, &mut Told::default());
    assert!(text.contains("\n# stacks cut: too deep = 7\n"), "{text}");
    assert!(text.contains("\n# own_bytes = 4096\n"), "{text}");
}

#[test]
fn the_text_is_as_its_page_says() {
    let (mut snapshot, mut told) = leak();
    let small = Frame::new(0x40_2001, C_OBJECT);
    let cut = StackRecord {
        stack: Stack::made_up(0, None, vec![small], End::TooDeep),
        ..record(0, Vec::new(), [1, 1, 1, 1])
    };
    snapshot.stacks.insert(0, cut);
    let text = text_of(&snapshot, &mut told);
    let (samples, rest) = text.split_once("\n# cgoheap = ").unwrap();
    assert_eq!(
        samples,
        "heap profile: 3: 201 [4: 301] @ heapprofile\n\
         2: 200 [3: 300] @ 0x401001 0x401011 0x401021 0x401031\n\
         #\t0x401000\tpack\ta.c:3\n\
         #\t0x401000\tfill\ta.c:9\n\
         #\t0x401010\n\
         #\t0x401020\n\
         #\t0x401030\trun\ta.c:20\n\
         \n\
         1: 1 [1: 1] @ 0x402001\n\
         #\t0x402000\n\
         #\t-\t[stack cut: too deep]\n"
    );
    let (facts, libraries) = rest.split_once("\nMAPPED_LIBRARIES:\n").unwrap();
    assert!(facts.contains("\n# sampling_interval_bytes = 524288\n"));
    assert!(facts.contains("cgoheap.Handler()"));
    assert_eq!(libraries, "400000-500000: r-xp /srv/app (@1000) abcd01\n");
}

#[test]
fn the_text_says_how_far_each_stack_and_the_whole_may_be_off() {
    let (mut snapshot, mut told) = leak();
    let other = Frame::new(0x40_2001, C_OBJECT);
    snapshot.stacks.push(record(2, vec![other], [7, 70, 0, 0]));
    // Deviations of 30, 40 and 50 bytes; variances add up, so the whole has 64.03 of allocated bytes.
    snapshot.stacks[0].values.inuse_variance = 900.0;
    snapshot.stacks[0].values.alloc_variance = 1600.0;
    snapshot.stacks[1].values.alloc_variance = 2500.0;
    let text = text_of(&snapshot, &mut told);
    let (stacks, facts) = text.split_once("\n# cgoheap = ").unwrap();
    let margins: Vec<_> = stacks.lines().filter(|line| line.contains("+-")).collect();
    assert_eq!(
        margins,
        [
            "#\tinuse_bytes = 200 +- 59 (95 %)",
            "#\talloc_bytes = 300 +- 78 (95 %)",
            "#\talloc_bytes = 70 +- 98 (95 %)"
        ]
    );
    assert!(facts.contains("\n# inuse_bytes_margin95 = 59\n"), "{facts}");
    assert!(facts.contains("\n# alloc_bytes_margin95 = 126\n"), "{facts}");
}

#[test]
fn the_text_always_has_four_columns() {
    // pprof drops two columns when the header's alloc values are the inuse ones, or 0.
    for (values, header) in [
        ([1, 5, 1, 5], "heap profile: 1: 5 [1: 6] @ heapprofile"),
        ([0, 0, -1, -5], "heap profile: 0: 0 [0: 1] @ heapprofile"),
        ([2, 9, 1, 5], "heap profile: 1: 5 [2: 9] @ heapprofile"),
    ] {
        let snapshot = snapshot(vec![record(1, Vec::new(), values)], Vec::new());
        let text = text_of(&snapshot, &mut Told::default());
        assert_eq!(text.lines().next().unwrap(), header);
    }
}

#[test]
fn bytes_of_no_object_are_written_as_one_more_and_one_less() {
    let snapshot = snapshot(vec![record(1, Vec::new(), [1, 30, 0, 25])], Vec::new());
    let text = text_of(&snapshot, &mut Told::default());
    assert!(
        text.contains("\n1: 25 [1: 30] @\n-1: 0 [0: 0] @\n#\t-\t[no stack]\n"),
        "{text}"
    );
}

#[test]
fn a_name_with_line_breaks_stays_within_its_line() {
    let frames = vec![Frame::new(0x40_1001, C_OBJECT)];
    let evil = Line {
        function: "evil\n1: 1 [1: 1] @ 0x1".to_owned(),
        file: "a\n.c".to_owned(),
        line: 3,
        ..Line::default()
    };
    let mut told = Told {
        names: HashMap::from([(frames[0], vec![evil])]),
        ..Told::default()
    };
    let text = text_of(&snapshot(vec![record(1, frames, [1, 1, 1, 1])], Vec::new()), &mut told);
    assert!(text.contains("\tevil?1: 1 [1: 1] @ 0x1\ta?.c:3\n"), "{text}");
}

prop_compose! {
    fn any_frame()(at in 0u64..24, object in prop_oneof![0u16..4, Just(u16::MAX)]) -> Frame {
        Frame::new(0x40_0000 + at * 0x4_0000, ObjectId(object))
    }
}

prop_compose! {
    fn any_record()(
        frames in prop::collection::vec(any_frame(), 0..6),
        end in 0u8..8,
        site_line in prop::option::of(0u32..4),
        values in prop::array::uniform4(-2i64..3),
    ) -> StackRecord {
        let site = site_line.map(|line| Site { file: b"a.c", line, function: b"f1" });
        StackRecord {
            stack: Stack::made_up(0, site, frames, End::from_u8(end)),
            ..record(0, Vec::new(), values)
        }
    }
}

use crate::tables::stacks::Site;

/// Names by address: some bare, some inlined, some that the seam cuts or joins.
struct Made;

impl Symbolizer for Made {
    fn resolve(&mut self, frame: Frame, _: Option<&Object>, out: &mut Vec<Line>) {
        const NAMES: [&str; 6] = [
            "f1@a.c:1",
            "f2@b.c:2",
            "malloc",
            "crosscall2",
            "_cgo_ab_Cfunc_x",
            "main._Cfunc_x",
        ];
        let at = (frame.call_address() / 0x4_0000) as usize;
        out.extend((0..at % 3).map(|i| super::testing::line(NAMES[(at + i) % NAMES.len()])));
    }
}

proptest! {
    #[test]
    fn any_snapshot_becomes_a_valid_profile_with_the_same_totals(
        stacks in prop::collection::vec(any_record(), 0..12),
        interval_bytes in prop_oneof![Just(0), Just(1), any::<u64>()],
    ) {
        let objects = vec![object(1, 0x40_0000, "/srv/app"), object(2, 0x60_0000, "/lib/b.so")];
        let mut snapshot = snapshot(stacks, objects);
        snapshot.interval_bytes = interval_bytes;
        let bytes = encode(&snapshot, &GoNames::default(), &mut Made, Format::Proto);
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
        let profile = message::Profile::decode(&plain[..]).unwrap();
        check_rules(&profile);
        let mut total = [0; 4];
        for sample in &profile.sample {
            for (total, value) in total.iter_mut().zip(&sample.value) {
                *total += value;
            }
        }
        let want = snapshot.stacks.iter().fold(Values::default(), |total, r| total.plus(r.values));
        prop_assert_eq!(
            total,
            [want.alloc_objects, want.alloc_bytes, want.inuse_objects, want.inuse_bytes]
        );
        encode(&snapshot, &GoNames::default(), &mut Made, Format::Text);
    }
}
