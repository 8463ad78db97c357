//! The memory of cgoheap's own control code: what a profile takes, where from, and what happens when there is none. Each case is a
//! C program in `tests/programs/`, linked with the archive, which has an allocator of its own.

mod support;

use std::fmt::Write as _;

use support::{archive_build, folder, repeated, shared_library, succeed};

#[test]
fn a_bound_on_own_memory_is_kept_and_the_program_goes_on() {
    let folder = folder("own-limit");
    archive_build("own_limit.c", &["-O1", "-fno-optimize-sibling-calls"], |command| {
        succeed(command.arg(folder.join("profile.pb.gz")).env("CGOHEAP", "own=16MiB"));
    });
}

#[test]
fn names_keep_within_the_bound_and_the_profile_says_what_was_left_unread() {
    let folder = folder("names-within-bound");
    // Ten megabytes of names, of which compressed little is left.
    let mut header = "enum large {".to_owned();
    let long = "x".repeat(200);
    for number in 0..50_000 {
        write!(header, " {long}_{number},").unwrap();
    }
    header += " };\nenum large large;\n";
    let path = folder.join("large.h");
    std::fs::write(&path, header).unwrap();
    let library = shared_library(
        "plugin.c",
        &["-DNAME_LEAF=leaf", "-gz=zlib", "-include", path.to_str().unwrap()],
    );
    archive_build("names_within_bound.c", &["-O1"], |command| {
        for (bound, settings) in [("0", ""), ("1", "own=16MiB")] {
            let mut command = repeated(command);
            command.arg(&library).arg(folder.join("profile.pb.gz")).arg(bound);
            succeed(command.env("CGOHEAP", settings));
        }
    });
}

#[test]
fn a_profile_without_memory_says_so_and_the_program_goes_on() {
    // The path is long enough to need memory wherever it is handed to libc.
    let folder = folder("profile-without-memory")
        .join("long ".repeat(45))
        .join("name ".repeat(45));
    std::fs::create_dir_all(&folder).unwrap();
    archive_build("profile_without_memory.c", &["-O1"], |command| {
        succeed(command.arg(folder.join("profile.pb.gz")));
    });
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["profile.pb.gz"]);
}

#[test]
fn profiles_leave_nothing_in_the_heap_of_the_program() {
    archive_build("heap_apart.c", &["-O1", "-fno-optimize-sibling-calls"], |command| {
        succeed(command);
    });
}
