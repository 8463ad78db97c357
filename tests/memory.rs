//! The memory of cgoheap's own control code: what a profile takes, where from, and what happens when there is none. Each case is a
//! C program in `tests/programs/`, linked with the archive, which has an allocator of its own.

mod support;

use support::{archive_build, folder, succeed};

#[test]
fn a_bound_on_own_memory_is_kept_and_the_program_goes_on() {
    let folder = folder("own-limit");
    archive_build("own_limit.c", &["-O1", "-fno-optimize-sibling-calls"], |command| {
        succeed(command.arg(folder.join("profile.pb.gz")).env("CGOHEAP", "own=16MiB"));
    });
}

#[test]
fn a_profile_without_memory_says_so_and_the_program_goes_on() {
    let folder = folder("profile-without-memory");
    archive_build("profile_without_memory.c", &["-O1"], |command| {
        succeed(command.arg(folder.join("profile.pb.gz")));
    });
}

#[test]
fn profiles_leave_nothing_in_the_heap_of_the_program() {
    archive_build("heap_apart.c", &["-O1", "-fno-optimize-sibling-calls"], |command| {
        succeed(command);
    });
}
