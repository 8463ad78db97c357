//! The hooks in whole processes: exact numbers at rate 1, libc's results, threads, forks, libraries that come and go.
//! Each case is a C program in `tests/programs/`.

mod support;

use support::run;

#[test]
fn every_function_is_counted_exactly_and_shown_at_its_line() {
    run("each_function.c", &["-O2"]);
    run("each_function.c", &["-O2", "-DAT"]);
}

#[test]
fn results_and_errno_are_those_of_the_plain_functions() {
    run("results.c", &["-O1", "-fno-builtin", "-Wno-error"]);
}

#[test]
fn a_reallocated_block_is_live_once_and_a_failed_realloc_changes_nothing() {
    run("realloc.c", &["-O2"]);
}

#[test]
fn frees_by_others_are_seen_or_healed() {
    run("frees.c", &["-O2", "-fno-builtin"]);
}

#[test]
fn inlined_and_static_functions_are_named() {
    run("inlined.c", &["-O2"]);
}
