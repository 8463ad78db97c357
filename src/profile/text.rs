//! The form that `debug=1` shows: for a person first, and still readable for `go tool pprof`.
//!
//! ```text
//!   heap profile: 1: 64 [2: 96] @ heapprofile          totals: inuse objects: bytes [alloc objects: bytes]
//!   1: 64 [2: 96] @ 0x4a3420 0x4a2e10                  one stack: the same, and its return addresses
//!   #  0x4a341f  C.CString  /src/main.go:7             its frames, with tabs: inlined ones share an address
//!   #  inuse_bytes = 64 +- 12 (95 %)                   how far the truth may be off, unless all was sampled;
//!   #  alloc_bytes = 96 +- 15 (95 %)                   the same for the whole is among the facts at the end
//!
//!   # sampling_interval_bytes = 524288                 what else there is to know
//!
//!   MAPPED_LIBRARIES:                                  for pprof, which names the addresses by itself
//!   400000-500000: r-xp /srv/app (@1000) 0ab1...
//! ```
//!
//! What pprof's parser of this form (`parseHeap` in google/pprof/profile/legacy_profile.go) demands:
//! - `heapprofile` as the kind, or it would scale our values again;
//! - a header without negative numbers, whose alloc values are neither 0 nor equal to the inuse values, or it drops
//!   the alloc columns (Go's own heap profile adds one byte for the same reason; nothing else is read from there);
//! - samples without bytes of no object, and without negative alloc values;
//! - nothing between header and `MAPPED_LIBRARIES:` but samples, blank lines and lines that begin with `#`.

use std::fmt::Write;

use super::comments;
use super::{Place, Stacks};
use crate::snapshot::sort;
use crate::snapshot::{Snapshot, Values};
use crate::tables::objects::Object;

/// The whole text. Writing to a `String` doesn't fail, hence the ignored results.
pub(super) fn write(snapshot: &Snapshot, stacks: &Stacks) -> Vec<u8> {
    let mut out = String::new();
    let total = stacks.total();
    header(&mut out, &total);

    let size = |at: u32| {
        let values = stacks.values(&stacks.stacks[at as usize]);
        (values.inuse_bytes, values.alloc_bytes)
    };
    // The same snapshot gives the same text.
    let order = sort::indices(stacks.stacks.len(), &mut |a, b| size(b).cmp(&size(a)).then(a.cmp(&b)));
    for at in order {
        let stack = &stacks.stacks[at as usize];
        let path: Vec<&Place> = stacks.path(stack).collect();
        let values = stacks.values(stack);
        for values in expressible(values) {
            sample(&mut out, &path, &values);
        }
        frames(&mut out, &path);
        if let Some(age) = stacks.age(stack) {
            let _ = writeln!(out, "#\tage: {}", age.label());
        }
        for (name, bytes, margin) in [
            ("inuse_bytes", values.inuse_bytes, values.inuse_margin95()),
            ("alloc_bytes", values.alloc_bytes, values.alloc_margin95()),
        ] {
            if margin > 0 {
                let _ = writeln!(out, "#\t{name} = {bytes} +- {margin} (95 %)");
            }
        }
        if values.inuse_doubt_bytes > 0 {
            let doubt = values.inuse_doubt_bytes;
            let _ = writeln!(
                out,
                "#\tof these up to {doubt} bytes may be freed: code without hooks frees blocks of this stack"
            );
        }
        out.push('\n');
    }

    facts(&mut out, snapshot, &total, stacks.unread);
    libraries(&mut out, &snapshot.objects);
    out.into_bytes()
}

fn header(out: &mut String, total: &Values) {
    let (objects, bytes) = (total.inuse_objects.max(0), total.inuse_bytes.max(0));
    let mut alloc_bytes = total.alloc_bytes.max(0);
    if alloc_bytes == bytes || alloc_bytes == 0 {
        alloc_bytes = bytes.saturating_add(1);
    }
    let alloc_objects = total.alloc_objects.max(0);
    let _ = writeln!(
        out,
        "heap profile: {objects}: {bytes} [{alloc_objects}: {alloc_bytes}] @ heapprofile"
    );
}

/// The same values as one or more lines that the parser accepts: bytes that belong to no object (in a difference,
/// where one block went and a larger one came) are written as one object more and one less.
fn expressible(values: Values) -> Vec<Values> {
    let mut first = Values {
        alloc_objects: values.alloc_objects.max(0),
        alloc_bytes: values.alloc_bytes.max(0),
        ..values
    };
    let mut second = Values::default();
    if first.inuse_objects == 0 && first.inuse_bytes != 0 {
        (first.inuse_objects, second.inuse_objects) = (1, -1);
    }
    if first.alloc_objects == 0 && first.alloc_bytes != 0 {
        // There is no negative number here to take it back: better one object too many than no profile.
        first.alloc_objects = 1;
    }
    if second == Values::default() {
        vec![first]
    } else {
        vec![first, second]
    }
}

fn sample(out: &mut String, path: &[&Place], values: &Values) {
    let _ = write!(
        out,
        "{}: {} [{}: {}] @",
        values.inuse_objects, values.inuse_bytes, values.alloc_objects, values.alloc_bytes
    );
    for frame in path.iter().filter_map(|place| place.frame) {
        let _ = write!(out, " {:#x}", frame.return_address());
    }
    out.push('\n');
}

/// Without Go's `+0x1f` after the name: where a C function begins isn't known when only its line table is there.
fn frames(out: &mut String, path: &[&Place]) {
    for place in path {
        let address = match place.frame {
            Some(frame) => format!("{:#x}", frame.call_address()),
            None => "-".to_owned(),
        };
        if place.lines.is_empty() {
            let _ = writeln!(out, "#\t{address}");
        }
        for line in place.lines.iter() {
            let _ = write!(out, "#\t{address}\t{}", one_line(&line.function));
            if !line.file.is_empty() {
                let _ = write!(out, "\t{}:{}", one_line(&line.file), line.line);
            }
            out.push('\n');
        }
    }
}

fn facts(out: &mut String, snapshot: &Snapshot, total: &Values, unread: u64) {
    let stats = &snapshot.stats;
    let mut fact = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(out, "# {name} = {value}");
    };
    fact(
        "cgoheap",
        &"C memory, seen in malloc and its relatives; values are already scaled",
    );
    fact("sampling_interval_bytes", &snapshot.interval_bytes);
    if snapshot.interval_bytes == 0 {
        fact("sampling", &"off");
    }
    fact("duration_nanos", &snapshot.duration_nanos);
    fact("inuse_objects", &total.inuse_objects);
    fact("inuse_bytes", &total.inuse_bytes);
    fact("inuse_bytes_margin95", &total.inuse_margin95());
    fact("alloc_objects", &total.alloc_objects);
    fact("alloc_bytes", &total.alloc_bytes);
    fact("alloc_bytes_margin95", &total.alloc_margin95());
    fact("samples", &stats.samples);
    fact("live_samples", &stats.live_samples);
    fact("stacks", &stats.stacks);
    fact("own_bytes", &stats.own_bytes);
    fact("go_frames", &comments::go_frames(snapshot));
    if total.inuse_doubt_bytes > 0 {
        fact("inuse_bytes_in_doubt", &total.inuse_doubt_bytes);
    }
    for (words, count) in comments::lost(snapshot, unread) {
        fact(words, &count);
    }
    fact("coverage", &comments::coverage(stats.interpose));
    fact(
        "note",
        &"the index of net/http/pprof ignores gc and refuses seconds here; cgoheap.Handler() knows both",
    );
}

/// Start, end, rights, file, offset, build id: the form in which pprof also takes the build id. A path ends at its
/// first space for pprof, which nothing can be done about in this form.
fn libraries(out: &mut String, objects: &[Object]) {
    out.push_str("\nMAPPED_LIBRARIES:\n");
    // An object that has gone may overlap one that is there; pprof takes the first that fits.
    for object in objects.iter().filter(|object| object.loaded) {
        let path = one_line(&object.path);
        let Object {
            start,
            limit,
            file_offset,
            ..
        } = object;
        let _ = write!(out, "{start:x}-{limit:x}: r-xp {path} (@{file_offset:x})");
        if !object.build_id.is_empty() {
            out.push(' ');
        }
        for byte in &object.build_id {
            let _ = write!(out, "{byte:02x}");
        }
        out.push('\n');
    }
}

/// Names come from files that anyone may have made: no line breaks of theirs in our lines.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "?")
}
