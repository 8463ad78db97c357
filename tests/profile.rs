//! Someone else's parser reads our bytes: google/pprof, as a library and as `go tool pprof`.
//!
//! This test writes profiles of hand-made snapshots into a folder and runs the Go test in `tests/compat` on it, which
//! is a module of its own because it depends on google/pprof. What the Go test expects to read is written there,
//! number by number; change both together.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use cgoheap::Stats;
use cgoheap::internals::profile::{Format, GoNames, Line, Symbolizer, encode};
use cgoheap::internals::snapshot::{Age, Snapshot, StackRecord, Values};
use cgoheap::internals::tables::frame::{End, Frame, ObjectId};
use cgoheap::internals::tables::objects::Object;
use cgoheap::internals::tables::stacks::{Site, Stack};

const APP: ObjectId = ObjectId(1);
const LIBRARY: ObjectId = ObjectId(2);

/// Names by return address.
struct Told(HashMap<u64, Vec<Line>>);

impl Symbolizer for Told {
    fn resolve(&mut self, frame: Frame, _: Option<&Object>, out: &mut Vec<Line>) {
        out.extend(self.0.get(&frame.return_address()).into_iter().flatten().cloned());
    }
}

fn line(function: &str, file: &str, line: u32) -> Line {
    let (function, file) = (function.to_owned(), file.to_owned());
    Line {
        system_name: function.clone(),
        function,
        file,
        line,
        start_line: 0,
    }
}

fn c_names() -> Told {
    let stub = "_cgo_dec68f0bfcab_Cfunc__Cmalloc";
    Told(HashMap::from([
        (0x40_1001, vec![line(stub, "_cgo_export.c", 48)]),
        (0x40_1101, vec![line("runtime.asmcgocall.abi0", "", 0)]),
        (
            0x7f00_0000_1001,
            vec![line("pack", "/src/lib/pack.c", 12), line("fill", "/src/lib/pack.c", 30)],
        ),
        (
            0x7f00_0000_1101,
            vec![line("depot::store(int)", "/src/lib/depot.cc", 7)],
        ),
        (
            0x40_1201,
            vec![line("_cgo_dec68f0bfcab_Cfunc_store", "cgo-gcc-prolog", 61)],
        ),
    ]))
}

/// Function, file, line.
type GoLine = (&'static str, &'static str, u32);

/// The block that the Go side hands over.
fn go_names(snapshot: &Snapshot) -> GoNames {
    let frames: &[(u64, &[GoLine])] = &[
        (0x40_2001, &[("runtime.cgocall", "/go/src/runtime/cgocall.go", 185)]),
        (0x40_2101, &[("main._cgo_cmalloc", "_cgo_gotypes.go", 200)]),
        (
            0x40_2201,
            &[
                ("main._Cfunc_CString", "_cgo_gotypes.go", 180),
                ("main.leakCString", "/src/main.go", 7),
            ],
        ),
        (0x40_2301, &[("main._Cfunc_store", "_cgo_gotypes.go", 90)]),
        (0x40_2401, &[("main.leakInLibrary", "/src/main.go", 21)]),
        (0x40_2501, &[("main.main", "/src/main.go", 40)]),
    ];
    let mut strings = Vec::new();
    let mut pcs = Vec::new();
    for (_, lines) in frames {
        pcs.push(lines.len() as u32);
        for (function, file, line) in *lines {
            pcs.extend([strings.len() as u32, strings.len() as u32 + 1, *line, 1]);
            strings.extend([*function, *file]);
        }
    }
    let mut block = (strings.len() as u32).to_le_bytes().to_vec();
    for string in strings {
        block.extend((string.len() as u32).to_le_bytes());
        block.extend(string.as_bytes());
        block.resize(block.len().next_multiple_of(4), 0);
    }
    block.extend((frames.len() as u32).to_le_bytes());
    block.extend(pcs.into_iter().flat_map(u32::to_le_bytes));
    let addresses: Vec<u64> = frames.iter().map(|(pc, _)| *pc).collect();
    assert!(snapshot.stacks.is_empty() || go_addresses(snapshot) == addresses);
    GoNames::parse(&addresses, &block).unwrap()
}

fn go_addresses(snapshot: &Snapshot) -> Vec<u64> {
    let frames = snapshot.stacks.iter().flat_map(|record| record.frames.iter());
    let set: std::collections::BTreeSet<u64> = frames
        .filter(|frame| frame.is_go())
        .map(|frame| frame.return_address())
        .collect();
    set.into_iter().collect()
}

fn values(values: [i64; 4]) -> Values {
    let [alloc_objects, alloc_bytes, inuse_objects, inuse_bytes] = values;
    Values {
        alloc_objects,
        alloc_bytes,
        inuse_objects,
        inuse_bytes,
        ..Values::default()
    }
}

/// A leak by C.CString, one in a library, one of a thread without names, one without a stack.
fn leaks(counts: [[i64; 4]; 4]) -> Snapshot {
    let app = |at| Frame::new(at, APP);
    let library = |at| Frame::new(at, LIBRARY);
    let record = |id: u32, site, frames: Vec<Frame>, end| StackRecord {
        stack: Stack::made_up(id, site, frames, end),
        age: None,
        values: values(counts[id as usize - 1]),
    };
    let go = |pcs: &[u64]| pcs.iter().map(|pc| Frame::go(*pc)).collect::<Vec<_>>();
    let cstring = [
        vec![app(0x40_1001), app(0x40_1101)],
        go(&[0x40_2001, 0x40_2101, 0x40_2201, 0x40_2501]),
    ];
    let store = [
        vec![
            library(0x7f00_0000_1001),
            library(0x7f00_0000_1101),
            app(0x40_1201),
            app(0x40_1101),
        ],
        go(&[0x40_2001, 0x40_2301, 0x40_2401, 0x40_2501]),
    ];
    let site = Site {
        file: b"pack.c",
        line: 14,
        function: b"pack",
    };
    let stacks = vec![
        record(1, None, cstring.concat(), End::Complete),
        record(2, Some(site), store.concat(), End::Complete),
        record(
            3,
            None,
            vec![library(0x7f00_0000_2001), app(0x40_3001)],
            End::NoUnwindInfo,
        ),
        record(4, None, Vec::new(), End::Complete),
    ];
    Snapshot { stacks, ..empty() }
}

/// The same stacks, each once as it is and once with blocks over an hour old.
fn aged(mut snapshot: Snapshot) -> Snapshot {
    let both = |stack: StackRecord| {
        [Age::UnderMinute, Age::Hours].map(|age| StackRecord {
            age: Some(age),
            ..stack
        })
    };
    snapshot.stacks = snapshot.stacks.into_iter().flat_map(both).collect();
    snapshot
}

fn empty() -> Snapshot {
    let object = |id, start, path: &str| Object {
        id,
        start,
        limit: start + 0x10_0000,
        file_offset: 0x1000,
        load_bias: 0,
        path: path.to_owned(),
        build_id: vec![0xab, 0xcd, id.0 as u8],
        loaded: true,
    };
    Snapshot {
        time_nanos: 1_700_000_000_000_000_000,
        duration_nanos: 0,
        interval_bytes: 524_288,
        peak_bytes: None,
        stacks: Vec::new(),
        objects: vec![
            object(APP, 0x40_0000, "/nowhere/app"),
            object(LIBRARY, 0x7f00_0000_0000, "/nowhere/libdepot.so"),
        ],
        stats: Stats::default(),
    }
}

fn write(folder: &Path, name: &str, snapshot: &Snapshot) {
    for (format, suffix) in [(Format::Proto, "pb.gz"), (Format::Text, "txt")] {
        let bytes = encode(snapshot, &go_names(snapshot), &mut c_names(), format);
        std::fs::write(folder.join(format!("{name}.{suffix}")), bytes).unwrap();
    }
}

#[test]
fn google_pprof_reads_what_we_write() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compat");
    std::fs::create_dir_all(&folder).unwrap();

    let first = [[10, 200, 4, 80], [7, 7000, 7, 7000], [1, 64, 1, 64], [2, 30, 1, 15]];
    let later = [[12, 240, 4, 80], [9, 9000, 9, 9000], [1, 64, 0, 0], [2, 30, 1, 15]];
    write(&folder, "first", &leaks(first));
    write(&folder, "later", &leaks(later));
    let mut difference = leaks([[2, 40, 0, 0], [2, 2000, 2, 2000], [0, 0, -1, -64], [1, 9, 0, 9]]);
    difference.duration_nanos = 1_000_000_000;
    write(&folder, "difference", &difference);
    // All of it went: the header of the text can't hold negative numbers.
    let gone = leaks([[0, 0, -4, -80], [0, 0, -7, -7000], [0, 0, -1, -64], [0, 0, -1, -15]]);
    write(&folder, "gone", &gone);
    write(&folder, "empty", &empty());
    write(&folder, "aged", &aged(leaks(first)));

    let compat = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat");
    let output = Command::new("go")
        .args(["test", "-count=1", "./..."])
        .current_dir(compat)
        .env("CGOHEAP_COMPAT_PROFILES", &folder)
        .output()
        .expect("this test needs `go` in PATH");
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    assert!(output.status.success(), "go test in tests/compat:\n{}", text.concat());
}
