//! The rules as a table: what was captured, what is shown.

use super::super::testing::{frames, record, shared, show, site};
use super::*;
use crate::tables::frame::End;

struct Case {
    what: &'static str,
    site: Option<&'static str>,
    captured: &'static [&'static str],
    end: End,
    shown: &'static [&'static str],
}

const PLAIN: Case = Case {
    what: "",
    site: None,
    captured: &[],
    end: End::Complete,
    shown: &[],
};

const CASES: &[Case] = &[
    // 1. The leaf.
    Case {
        what: "the site replaces debug information's line of the same function",
        site: Some("lib/a.c:12 pack"),
        captured: &["C pack@/src/lib/a.c:11", "C run@/src/lib/a.c:40"],
        shown: &["pack@/src/lib/a.c:12", "run@/src/lib/a.c:40"],
        ..PLAIN
    },
    Case {
        what: "functions around an inlined site stay",
        site: Some("a.c:12 pack"),
        captured: &["C pack@a.c:12 < fill@a.c:20 < run@b.c:3", "C main@b.c:9"],
        shown: &["pack@a.c:12 < fill@a.c:20 < run@b.c:3", "main@b.c:9"],
        ..PLAIN
    },
    Case {
        what: "a wrapper inlined below the site goes",
        site: Some("a.c:12 pack"),
        captured: &["C wrapper@cgoheap.h:200 < pack@a.c:12 < run@a.c:30"],
        shown: &["pack@a.c:12 < run@a.c:30"],
        ..PLAIN
    },
    Case {
        what: "a tail call left its frame: the caller stays, in the same file too",
        site: Some("a.c:12 pack"),
        captured: &["C run@a.c:40", "C main@b.c:9"],
        shown: &["pack@a.c:12 < run@a.c:40", "main@b.c:9"],
        ..PLAIN
    },
    Case {
        what: "the same line under another name is the same call",
        site: Some("a.c:12 outlined"),
        captured: &["C outlined_by_compiler@/src/a.c:12"],
        shown: &["outlined_by_compiler@/src/a.c:12"],
        ..PLAIN
    },
    Case {
        what: "a file that only ends alike is another file",
        site: Some("a.c:12 pack"),
        captured: &["C run@/src/gamma.c:1", "C main@/src/data.c:12"],
        shown: &["pack@a.c:12 < run@/src/gamma.c:1", "main@/src/data.c:12"],
        ..PLAIN
    },
    Case {
        what: "stripped: the symbol is the site's function",
        site: Some("a.c:12 pack"),
        captured: &["C pack", "C run"],
        shown: &["pack@a.c:12", "run"],
        ..PLAIN
    },
    Case {
        what: "stripped: the symbol is a compiler's copy of the site's function",
        site: Some("a.c:12 pack"),
        captured: &["C pack.constprop.0", "C run"],
        shown: &["pack@a.c:12", "run"],
        ..PLAIN
    },
    Case {
        what: "stripped: the site's function was inlined into the symbol",
        site: Some("a.c:12 pack"),
        captured: &["C run"],
        shown: &["pack@a.c:12 < run"],
        ..PLAIN
    },
    Case {
        what: "stripped of all names",
        site: Some("a.c:12 pack"),
        captured: &["C", "C"],
        shown: &["pack@a.c:12", ""],
        ..PLAIN
    },
    Case {
        what: "a site alone",
        site: Some("a.c:12 pack"),
        shown: &["pack@a.c:12"],
        ..PLAIN
    },
    Case {
        what: "C++ names its methods in full",
        site: Some("a.cc:12 fill"),
        captured: &["C void ns::Box<fill<int> >::fill<int>(fill(*)(int)) const@/src/a.cc:12"],
        shown: &["void ns::Box<fill<int> >::fill<int>(fill(*)(int)) const@/src/a.cc:12"],
        ..PLAIN
    },
    Case {
        what: "a lambda is not the function around it",
        site: Some("a.cc:12 operator()"),
        captured: &["C fill(int)::{lambda()#1}::operator()() const@a.cc:12 < fill(int)@a.cc:15"],
        shown: &["fill(int)::{lambda()#1}::operator()() const@a.cc:12 < fill(int)@a.cc:15"],
        ..PLAIN
    },
    Case {
        what: "the allocator's name at the leaf stays where a site says that it is the user's",
        site: Some("pool.c:3 malloc"),
        captured: &["C malloc@pool.c:3", "C main@b.c:9"],
        shown: &["malloc@pool.c:3", "main@b.c:9"],
        ..PLAIN
    },
    // 2. The allocator.
    Case {
        what: "our own frames and the malloc family are cut at the leaf",
        captured: &[
            "C cgoheap_malloc",
            "C cgoheap::hook::record@hook.rs:1 < malloc",
            "C __libc_calloc",
            "C pack@a.c:3",
        ],
        shown: &["pack@a.c:3"],
        ..PLAIN
    },
    Case {
        what: "and only there",
        captured: &["C pack@a.c:3", "C malloc@pool.c:9", "C cgoheap_demo@b.c:1"],
        shown: &["pack@a.c:3", "malloc@pool.c:9", "cgoheap_demo@b.c:1"],
        ..PLAIN
    },
    Case {
        what: "operator new and strdup say something",
        captured: &["C malloc", "C operator new(unsigned long)", "C strdup", "C main@b.cc:9"],
        shown: &["operator new(unsigned long)", "strdup", "main@b.cc:9"],
        ..PLAIN
    },
    Case {
        what: "a user's method called malloc is no allocator of ours",
        captured: &["C Pool::malloc(unsigned long)@p.cc:3"],
        shown: &["Pool::malloc(unsigned long)@p.cc:3"],
        ..PLAIN
    },
    Case {
        what: "something is left of every stack",
        captured: &["C malloc", "C calloc"],
        shown: &["calloc"],
        ..PLAIN
    },
    Case {
        what: "something is left of a stack of the runtime's frames",
        captured: &["C runtime.asmcgocall.abi0"],
        end: End::GoFramesOff,
        shown: &["runtime.asmcgocall.abi0", "[stack cut: Go frames are off]"],
        ..PLAIN
    },
    Case {
        what: "Rust: from the global allocator to the standard library's own; a collection's frames stay",
        captured: &[
            "C {closure#0}@/src/cgoheap/src/hook/global_alloc.rs:9 < alloc<System>@/src/cgoheap/src/hook/global_alloc.rs:90",
            "C __rustc::__rust_alloc",
            "C alloc@/rustc/1/library/alloc/src/alloc.rs:95 < with_capacity<u8>@/rustc/1/library/alloc/src/raw_vec/mod.rs:3",
            "C user::remember@/src/user/src/alloc.rs:4",
        ],
        shown: &[
            "with_capacity<u8>@/rustc/1/library/alloc/src/raw_vec/mod.rs:3",
            "user::remember@/src/user/src/alloc.rs:4",
        ],
        ..PLAIN
    },
    // 3 and 4. The seam.
    Case {
        what: "C.CString through -include",
        site: Some("_cgo_export.c:48 _cgo_cd0cb2ac3d8b_Cfunc__Cmalloc"),
        captured: &[
            "C _cgo_cd0cb2ac3d8b_Cfunc__Cmalloc@/tmp/go-build/_cgo_export.c:48",
            "C runtime.asmcgocall.abi0",
            "Go runtime.cgocall@cgocall.go:185",
            "Go main._cgo_cmalloc@_cgo_gotypes.go:200",
            "Go main._Cfunc_CString@_cgo_gotypes.go:180",
            "Go main.leak@main.go:7",
            "Go main.main@main.go:12",
        ],
        shown: &["C.CString@main.go:7", "main.leak@main.go:7", "main.main@main.go:12"],
        ..PLAIN
    },
    Case {
        what: "C.CString inlined into its caller: one place, two lines",
        captured: &[
            "C _cgo_cd0cb2ac3d8b_Cfunc__Cmalloc",
            "Go main._cgo_cmalloc@_cgo_gotypes.go:200",
            "Go main._Cfunc_CString@_cgo_gotypes.go:180 < main.leak@main.go:7",
        ],
        shown: &["C.CString@main.go:7 < main.leak@main.go:7"],
        ..PLAIN
    },
    Case {
        what: "C.malloc, whose outer Go half is inlined",
        site: Some("_cgo_export.c:48 _cgo_cd0cb2ac3d8b_Cfunc__Cmalloc"),
        captured: &[
            "C",
            "Go runtime.cgocall@cgocall.go:185",
            "Go github.com/a/b%2ec._cgo_cmalloc@_cgo_gotypes.go:200",
            "Go github.com/a/b%2ec._Cfunc__CMalloc@_cgo_gotypes.go:190 < github.com/a/b%2ec.leak@b.go:7",
        ],
        shown: &["C.malloc@b.go:7 < github.com/a/b%2ec.leak@b.go:7"],
        ..PLAIN
    },
    Case {
        what: "the helper alone is C.malloc",
        captured: &["Go main._cgo_cmalloc@_cgo_gotypes.go:200", "Go main.leak@main.go:7"],
        shown: &["C.malloc@main.go:7", "main.leak@main.go:7"],
        ..PLAIN
    },
    Case {
        what: "C.strdup with errno",
        site: Some("cgo-gcc-prolog:62 _cgo_dec68f0bfcab_C2func_strdup"),
        captured: &[
            "C _cgo_dec68f0bfcab_C2func_strdup.cold",
            "C runtime.asmcgocall_landingpad",
            "Go runtime.cgocall@cgocall.go:185",
            "Go main._C2func_strdup@_cgo_gotypes.go:80",
            "Go main.main@main.go:29",
        ],
        shown: &["C.strdup@main.go:29", "main.main@main.go:29"],
        ..PLAIN
    },
    Case {
        what: "a C function of the preamble, inlined into the stub",
        site: Some("main.go:10 mine"),
        captured: &[
            "C mine@/src/main.go:10 < _cgo_dec68f0bfcab_Cfunc_mine@cgo-gcc-prolog:101",
            "C runtime.asmcgocall",
            "Go runtime.cgocall@cgocall.go:185",
            "Go main._Cfunc_mine@_cgo_gotypes.go:150",
            "Go main.main@main.go:28",
        ],
        shown: &["mine@/src/main.go:10", "C.mine@main.go:28", "main.main@main.go:28"],
        ..PLAIN
    },
    Case {
        what: "the stub ended in a jump: the Go half is enough",
        captured: &[
            "C mine@main.go:10",
            "C runtime.asmcgocall",
            "Go runtime.cgocall@cgocall.go:185",
            "Go main._Cfunc_mine@_cgo_gotypes.go:150",
            "Go main.main@main.go:28",
        ],
        shown: &["mine@main.go:10", "C.mine@main.go:28", "main.main@main.go:28"],
        ..PLAIN
    },
    Case {
        what: "Go frames are off: the C half is enough, and no line is invented",
        captured: &[
            "C mine@main.go:10",
            "C _cgo_dec68f0bfcab_Cfunc_mine@cgo-gcc-prolog:101",
            "C runtime.asmcgocall",
        ],
        end: End::GoFramesOff,
        shown: &["mine@main.go:10", "C.mine", "[stack cut: Go frames are off]"],
        ..PLAIN
    },
    Case {
        what: "C calls Go calls C: user code on both sides stays",
        captured: &[
            "C inner@a.c:3",
            "C _cgo_dec68f0bfcab_Cfunc_inner",
            "C runtime.asmcgocall",
            "Go runtime.cgocall@cgocall.go:185",
            "Go main._Cfunc_inner@_cgo_gotypes.go:90",
            "Go main.goCallback@main.go:22",
            "Go _cgoexp_dec68f0bfcab_goCallback@_cgo_gotypes.go:173",
            "Go runtime.cgocallbackg1@cgocall.go:466",
            "Go runtime.cgocallbackg@cgocall.go:362",
            "Go runtime.cgocallback@asm_amd64.s:1160",
            "C crosscall2",
            "C goCallback@_cgo_export.c:30",
            "C outer@a.c:9",
            "C _cgo_dec68f0bfcab_Cfunc_outer",
            "C runtime.asmcgocall",
            "Go runtime.cgocall@cgocall.go:185",
            "Go main._Cfunc_outer@_cgo_gotypes.go:100",
            "Go main.main@main.go:31",
            "Go runtime.main@proc.go:290",
            "Go runtime.goexit@asm_amd64.s:1771",
        ],
        shown: &[
            "inner@a.c:3",
            "C.inner@main.go:22",
            "main.goCallback@main.go:22",
            "outer@a.c:9",
            "C.outer@main.go:31",
            "main.main@main.go:31",
            "runtime.main@proc.go:290",
        ],
        ..PLAIN
    },
    Case {
        what: "a C function that only has the name of an exported one stays",
        captured: &[
            "Go main.goCallback@main.go:22",
            "Go _cgoexp_dec68f0bfcab_goCallback@_cgo_gotypes.go:173",
            "Go runtime.cgocallback@asm_amd64.s:1160",
            "C crosscall2",
            "C",
            "C goCallback@mine.c:30",
        ],
        shown: &["main.goCallback@main.go:22", "", "goCallback@mine.c:30"],
        ..PLAIN
    },
    Case {
        what: "names that only look generated are the user's",
        captured: &[
            "C _cgo_xyz_Cfunc_f@a.c:1",
            "C _cgoexp_notahash_f@a.c:2",
            "C _cgo_12_other@a.c:3",
            "Go main.leak._Cfunc_f@a.go:4",
            "Go main._Cfunc_@a.go:5",
            "Go runtime.cgocallers@a.go:6",
            "C _Cfunc_f@a.c:7",
        ],
        shown: &[
            "_cgo_xyz_Cfunc_f@a.c:1",
            "_cgoexp_notahash_f@a.c:2",
            "_cgo_12_other@a.c:3",
            "main.leak._Cfunc_f@a.go:4",
            "main._Cfunc_@a.go:5",
            "runtime.cgocallers@a.go:6",
            "_Cfunc_f@a.c:7",
        ],
        ..PLAIN
    },
    // 5. The end.
    Case {
        what: "a cut stack says why",
        captured: &["C pack@a.c:3", "C"],
        end: End::NoUnwindInfo,
        shown: &["pack@a.c:3", "", "[stack cut: no unwind table]"],
        ..PLAIN
    },
    Case {
        what: "no frames at all",
        shown: &["[no stack]"],
        ..PLAIN
    },
    Case {
        what: "no frames, cut or not",
        end: End::TooDeep,
        shown: &["[no stack]"],
        ..PLAIN
    },
];

#[test]
fn every_case_of_the_table_shows_what_it_says() {
    for case in CASES {
        let (frames, names) = frames(0x1001, case.captured);
        let record = StackRecord {
            stack: crate::tables::stacks::Stack::made_up(1, case.site.map(site), frames.clone(), case.end),
            ..record(1, Vec::new(), [1, 8, 1, 8])
        };
        let places = places(&record, &shared(names));
        let shown: Vec<String> = places
            .iter()
            .map(|place| place.lines.iter().map(show).collect::<Vec<_>>().join(" < "))
            .collect();
        assert_eq!(shown, case.shown, "{}", case.what);

        // A frame keeps its own address, in order, and none is shown twice.
        let at = |place: &Place| place.frame.map(|f| frames.iter().position(|g| *g == f).unwrap());
        let order: Vec<usize> = places.iter().filter_map(at).collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{}: {order:?}", case.what);
    }
}

#[test]
fn the_stack_of_samples_beyond_the_limit_says_so() {
    let places = places(&record(0, Vec::new(), [1, 8, 1, 8]), &Names::new());
    assert_eq!(show(&places[0].lines[0]), "[stacks beyond the limit]");
}

#[test]
fn unchanged_frames_share_their_lines() {
    let (frames, names) = frames(0x1001, &["C pack@a.c:3", "C run@a.c:9"]);
    let names = shared(names);
    let places = places(&record(1, frames.clone(), [1, 8, 1, 8]), &names);
    assert!(
        places
            .iter()
            .zip(&frames)
            .all(|(place, f)| Rc::ptr_eq(&place.lines, &names[f]))
    );
}
