//! The unwinder in whole processes, against gcc's own (`_Unwind_Backtrace`): every return address has to agree. Each
//! case is a C or C++ program in `tests/programs/`.
//!
//! Here in Rust the `backtrace` crate is the reference, for the walk and for the names.

mod support;

use std::ffi::c_void;

use cgoheap::internals::profile::Symbolizer;
use cgoheap::internals::profile::symbols::ProcessSymbols;
use cgoheap::internals::record::sampler;
use cgoheap::internals::snapshot::{self, Filter};
use support::{archive_build, each_build, options_for_archive_as_library, run, shared_library, succeed};

#[test]
fn stacks_agree_with_the_compilers_unwinder_for_every_shape_of_frame() {
    for options in [
        &["-O0"][..],
        &["-O1"],
        &["-O2", "-fomit-frame-pointer"],
        &["-O2", "-fno-omit-frame-pointer"],
        &["-O3", "-mavx2", "-mstackrealign"],
        &["-Os", "-fno-pie", "-no-pie"],
    ] {
        run("unwind.c", options);
    }
}

#[test]
fn stacks_agree_with_the_compilers_unwinder_amid_exceptions() {
    for options in [&["-O0"][..], &["-O2"], &["-O2", "-fno-omit-frame-pointer"]] {
        run("unwind.cpp", options);
    }
}

/// gcc links static programs without an index of the unwind tables; with `--eh-frame-hdr`, and as PIE, it's there.
#[test]
fn stacks_of_static_programs_are_whole() {
    for options in [
        &["-O2", "-static"][..],
        &["-O2", "-static", "-Wl,-s"],
        &["-O2", "-static", "-Wl,--eh-frame-hdr"],
        &["-O2", "-fPIE", "-static-pie"],
    ] {
        run("unwind.c", options);
    }
}

/// The loader knows a program by the segment where the kernel has left pages between them free: as linkers for arm64 do it, and lld
/// gives code a segment of its own, which doesn't begin with the file's header.
#[test]
fn stacks_of_programs_with_gaps_between_their_segments_are_whole() {
    const GAPS: &[&str] = &["-O2", "-Wl,-z,max-page-size=65536", "-Wl,-z,separate-code"];
    run("unwind.c", GAPS);
    let apart = options_for_archive_as_library();
    let options: Vec<&str> = GAPS
        .iter()
        .copied()
        .chain(apart.iter().map(|option| &**option))
        .collect();
    archive_build("unwind.c", &options, |command| {
        succeed(command);
    });
}

#[test]
fn recursion_beyond_what_is_kept_is_cut_and_counted() {
    run("deep.c", &["-O1", "-fno-optimize-sibling-calls"]);
}

#[test]
fn stacks_agree_with_the_compilers_unwinder_for_tables_that_no_compiler_writes() {
    for options in [&["-O1"][..], &["-O2", "-fomit-frame-pointer"]] {
        run("rare_tables.c", options);
    }
}

#[test]
fn tables_are_found_wherever_a_library_has_them() {
    for options in [
        &["-Wl,--no-eh-frame-hdr"][..],
        &["-Wl,--no-eh-frame-hdr", "-Wl,-z,noseparate-code"],
        &["-DWRITABLE_TABLES"],
        &["-DWRITABLE_TABLES", "-Wl,--no-eh-frame-hdr"],
        &["-DELSEWHERE", "-Wl,--section-start=.elsewhere=0x4000000"],
        &[
            "-DELSEWHERE",
            "-Wl,--section-start=.elsewhere=0x4000000",
            "-Wl,--no-eh-frame-hdr",
        ],
    ] {
        let options = [&["-DNAME_LEAF=leaf"], options].concat();
        let library = shared_library("plugin.c", &options);
        each_build("odd_tables.c", &["-O1"], |command| {
            succeed(command.arg(&library));
        });
    }
}

#[test]
fn frames_of_any_size_are_followed_on_a_threads_own_stack() {
    run("large_frames.c", &["-O1"]);
}

#[test]
fn a_stack_goes_on_by_the_frame_pointer_through_code_without_tables_or_ends_cleanly() {
    run("no_table.c", &["-O2"]);
}

#[test]
fn foreign_stacks_are_read_no_further_than_they_go() {
    run("stacks.c", &["-O2"]);
}

#[test]
fn the_entries_tables_are_right_at_every_instruction() {
    run("stepped.c", &["-O2", "-fno-builtin"]);
}

/// What the `backtrace` crate says of a place that allocated a block of this size.
struct Reference {
    size: usize,
    /// Return addresses, of more frames than ours at the inner end.
    trace: Vec<u64>,
}

/// A place to compare: allocates, and asks the crate, from the same function.
#[inline(never)]
fn allocate_here(size: usize) -> Reference {
    unsafe extern "C" {
        fn cgoheap_malloc(size: usize) -> *mut c_void;
    }
    // SAFETY: malloc takes any size. The block stays.
    assert!(!unsafe { cgoheap_malloc(size) }.is_null());
    let mut trace = Vec::new();
    backtrace::trace(|frame| {
        // Past its end the walk may give 0.
        trace.extend(Some(frame.ip() as u64).filter(|address| *address != 0));
        true
    });
    Reference { size, trace }
}

mod shapes {
    use super::*;
    use std::cell::RefCell;

    #[inline(never)]
    pub fn recursive(depth: usize, size: usize) -> Reference {
        let reference = match depth {
            0 => allocate_here(size),
            _ => recursive(depth - 1, size),
        };
        std::hint::black_box(reference)
    }

    #[inline(always)]
    fn inlined<T: Fn() -> Reference>(call: T) -> Reference {
        std::hint::black_box(call())
    }

    pub fn generic_and_inlined<T: Into<usize>>(size: T) -> Reference {
        let size = size.into();
        inlined(|| inlined(|| std::hint::black_box(allocate_here(size))))
    }

    pub trait Shape {
        fn allocate(&self) -> Reference;
    }

    pub struct Boxed(pub usize);

    impl Shape for Boxed {
        fn allocate(&self) -> Reference {
            std::hint::black_box(allocate_here(self.0))
        }
    }

    thread_local!(static FROM_C: RefCell<Option<Reference>> = const { RefCell::new(None) });

    /// Rust, then libc, then Rust again.
    pub fn through_libc(size: usize) -> Reference {
        extern "C" fn compare(size: *const c_void, _: *const c_void) -> i32 {
            // SAFETY: an element of the array below.
            let size = unsafe { *size.cast::<usize>() };
            FROM_C.set(Some(allocate_here(size)));
            0
        }
        let mut sizes = [size; 2];
        // SAFETY: an array of two elements of that size.
        unsafe { libc::qsort(sizes.as_mut_ptr().cast(), 2, size_of::<usize>(), Some(compare)) };
        FROM_C.take().expect("qsort compares two elements")
    }
}

/// A name of the reference and ours: raw name, file, line.
type Named = (String, String, u32);

fn reference_names(return_address: u64) -> Vec<Named> {
    let mut names = Vec::new();
    backtrace::resolve(return_address as *mut c_void, |symbol| {
        let name = symbol.name().and_then(|name| name.as_str()).unwrap_or_default();
        let file = symbol.filename().map(|file| file.display().to_string());
        names.push((name.to_owned(), file.unwrap_or_default(), symbol.lineno().unwrap_or(0)));
    });
    names.retain(|(name, ..)| !name.is_empty());
    names
}

#[test]
fn stacks_and_names_agree_with_the_backtrace_crate() {
    assert!(sampler::set_interval(1));
    let mut references = vec![
        shapes::recursive(0, 10_007),
        shapes::recursive(60, 10_009),
        shapes::generic_and_inlined(10_037_usize),
        shapes::generic_and_inlined(5_u8 as usize + 10_034),
        (&shapes::Boxed(10_061) as &dyn shapes::Shape).allocate(),
        shapes::through_libc(10_067),
        std::thread::spawn(|| shapes::recursive(3, 10_069))
            .join()
            .expect("no panic"),
    ];
    // Far more frames than are kept: what is kept agrees.
    references.push(shapes::recursive(400, 10_079));
    sampler::set_interval(0);

    let snapshot = snapshot::take(Filter::ALL).expect("memory");
    let mut symbols = ProcessSymbols::new();
    let (mut frames_seen, mut names_seen) = (0, 0);
    for Reference { size, trace } in references {
        let mut ours = snapshot
            .stacks
            .iter()
            .filter(|stack| stack.values.inuse_bytes == size as i64);
        let (stack, None) = (
            ours.next().unwrap_or_else(|| panic!("no stack of {size} bytes")),
            ours.next(),
        ) else {
            panic!("two stacks of {size} bytes");
        };
        // The innermost differ: the call of malloc here, that of the crate there, in the same function.
        let ours: Vec<u64> = stack.frames.iter().map(|frame| frame.return_address()).collect();
        let inner = trace.iter().position(|address| *address == ours[1]);
        let inner = inner.unwrap_or_else(|| panic!("{size} bytes: {:#x} is not in {trace:x?}", ours[1]));
        let theirs = &trace[inner..];
        assert!(inner <= 4, "{inner} frames of the crate's own");
        assert!(
            ours[0].abs_diff(trace[inner - 1]) < 2000,
            "{size} bytes: another function"
        );
        let kept = theirs.len().min(255);
        assert_eq!(&ours[1..], &theirs[..kept], "{size} bytes");
        frames_seen += kept;
        for frame in &stack.frames[1..] {
            let object = snapshot.objects.iter().find(|object| object.id == frame.object());
            let mut lines = Vec::new();
            symbols.resolve(*frame, object, &mut lines);
            let ours: Vec<Named> = lines.into_iter().map(|l| (l.system_name, l.file, l.line)).collect();
            assert_eq!(ours, reference_names(frame.return_address()), "{size} bytes, {frame:?}");
            names_seen += ours.len();
        }
    }
    assert!(
        frames_seen > 300 && names_seen > frames_seen,
        "{frames_seen} frames, {names_seen} names"
    );
}
