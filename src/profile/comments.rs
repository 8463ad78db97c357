//! The comments of a profile: what is covered, the interval, and what was lost.

use crate::snapshot::Snapshot;
use crate::snapshot::stats::Interpose;
use crate::unwind::go::GoFrames;

/// Sentences for the profile's comments (`go tool pprof -comments`).
///
/// pprof prints them above each listing too, so a profile with nothing odd in it has few.
/// None may begin with `executableInfo=`, which a well-known server takes for data. `unread` as for [`lost`].
pub(super) fn sentences(snapshot: &Snapshot, unread: u64) -> Vec<String> {
    let mut out = vec![
        "cgoheap: C memory of this process, seen in malloc and its relatives".to_owned(),
        interval(snapshot.interval_bytes),
        coverage(snapshot.stats.interpose).to_owned(),
        format!("cgoheap's own tables: {} bytes", snapshot.stats.own_bytes),
    ];
    if let Some(bytes) = snapshot.peak_bytes {
        out.push(format!(
            "peak: what was live when it was most so far, {bytes} bytes; a new peak is one that is higher by 1 part in {}",
            crate::tables::peak::MARGIN
        ));
    }
    if snapshot.stats.go_frames != GoFrames::Joined as u64 {
        out.push(format!("Go frames: {}", go_frames(snapshot)));
    }
    let doubts = snapshot.stacks.iter().map(|stack| stack.values.inuse_doubt_bytes);
    let doubt = doubts.fold(0, u64::saturating_add);
    if doubt > 0 {
        out.push(format!(
            "in doubt: up to {doubt} bytes of what is in use may be freed, since code without hooks frees blocks of the same stacks"
        ));
    }
    out.extend(lost(snapshot, unread).map(|(words, count)| format!("{words}: {count}")));
    out
}

/// What the reader must not expect to find, by how much of the process go/interpose captures.
pub(super) fn coverage(interpose: u64) -> &'static str {
    const WHOLE: u64 = Interpose::Whole as u64;
    const WRAP: u64 = Interpose::Wrap as u64;
    const ASIDE: u64 = Interpose::Aside as u64;
    const PARTLY: u64 = Interpose::Partly as u64;
    const NOT_LIBRARIES: u64 = Interpose::NotLibraries as u64;
    match interpose {
        WHOLE => "not covered: mmap, thread stacks, the allocator's overhead",
        WRAP | NOT_LIBRARIES => "not covered: mmap, thread stacks, the allocator's overhead, shared libraries",
        ASIDE => {
            "not covered: mmap, thread stacks, the allocator's overhead, code without cgoheap.h: \
             go/interpose has stepped aside for the program's own allocator (try -tags cgoheap_wrap)"
        }
        PARTLY => {
            "sampling is off: another allocator has replaced a part of malloc's family, and blocks would be seen on one \
             side only (try -tags cgoheap_wrap)"
        }
        _ => "not covered: mmap, thread stacks, the allocator's overhead, code without cgoheap.h",
    }
}

fn interval(bytes: u64) -> String {
    match bytes {
        0 => "sampling is off: no allocation is added, earlier ones leave when they are freed".to_owned(),
        1 => "sampling interval: 1 byte: every allocation is counted, values are exact requested sizes".to_owned(),
        _ => format!(
            "sampling interval: {bytes} bytes on average: values are estimates of requested sizes, already scaled up"
        ),
    }
}

/// Whether stacks go on from C to Go.
pub(super) fn go_frames(snapshot: &Snapshot) -> &'static str {
    const JOINED: u64 = GoFrames::Joined as u64;
    const NOT_ASKED: u64 = GoFrames::NotAsked as u64;
    match snapshot.stats.go_frames {
        JOINED => "joined",
        NOT_ASKED => "not asked for",
        _ => "off, the check at start failed (cgoheap.ReadStats: GoFramesProblem)",
    }
}

/// Each reason for a loss that did occur, with the number of times. `unread`: as [`super::Symbolizer::unread`] says.
pub(super) fn lost(snapshot: &Snapshot, unread: u64) -> impl Iterator<Item = (&'static str, u64)> {
    let unread = (
        "objects without lines, or without names: no memory for their debug information, or damage in it",
        unread,
    );
    let described = snapshot.stats.lost.described().into_iter();
    described.chain([unread]).filter(|&(_, count)| count != 0)
}
