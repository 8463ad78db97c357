//! The unwinder in whole processes, judged by gcc's own (`_Unwind_Backtrace`): every return address has to agree. Each
//! case is a C or C++ program in `tests/programs/`.

mod support;

use support::run;

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

#[test]
fn recursion_beyond_what_is_kept_is_cut_and_counted() {
    run("deep.c", &["-O1", "-fno-optimize-sibling-calls"]);
}

#[test]
fn a_stack_ends_cleanly_at_code_without_tables() {
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
