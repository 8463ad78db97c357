//! The hooks in whole processes: exact numbers at rate 1, libc's results, threads, forks, libraries that come and go.
//! Each case is a C program in `tests/programs/`.

mod support;

use support::{each_build, run, shared_library};

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
fn callers_with_a_misaligned_stack_are_served() {
    let options = ["-O1", "-fno-builtin"];
    run("misaligned.c", &[&options, &["-DCGOHEAP_NO_REDIRECT"][..]].concat());
    run(
        "misaligned.c",
        &[&options, &["-DWHOLE"][..], support::WHOLE_PROCESS].concat(),
    );
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

#[test]
fn libraries_that_follow_each_other_at_one_address_keep_their_names() {
    for (build_id, known_when_closed) in [("-Wl,--build-id", "1"), ("-Wl,--build-id=none", "0")] {
        let plugins =
            ["alpha", "omega"].map(|name| shared_library("plugin.c", &[&format!("-DNAME_LEAF={name}"), build_id]));
        each_build("libraries.c", &["-O2"], |command| {
            support::succeed(command.args(&plugins).arg(known_when_closed));
        });
    }
}

#[test]
fn a_library_made_anew_under_its_name_is_another_one() {
    // In what the second differs from the first: a static name, in a part of the file that is not in memory; an exported one; the
    // unwind rules. All have the same length.
    const DIFFERENCES: [(&[&str], &[&str]); 3] = [
        (&["-DNAME_LEAF=alpha"], &["-DNAME_LEAF=omega"]),
        (
            &["-DNAME_LEAF=alpha", "-DEXPORTED"],
            &["-DNAME_LEAF=omega", "-DEXPORTED"],
        ),
        (
            &["-DNAME_LEAF=alpha", "-DROOM=300"],
            &["-DNAME_LEAF=omega", "-DROOM=400"],
        ),
    ];
    let mut pairs = Vec::new();
    for (which, (first, second)) in DIFFERENCES.iter().enumerate() {
        let pair = |id: &str| [first, second].map(|options| shared_library("plugin.c", &[*options, &[id]].concat()));
        // In the same file, or one that has got its number, the same memory: only its time of change tells.
        let ways = ["rename", "memfd", "overwrite", "anew"];
        let without_id = pair("-Wl,--build-id=none");
        pairs.extend(ways.iter().map(|way| (without_id.clone(), *way)));
        pairs.push((pair("-Wl,--build-id"), ways[which]));
    }
    each_build("reload.c", &["-O2"], |command| {
        for (libraries, way) in &pairs {
            for seen in ["1", "0"] {
                let folder = support::folder("reload");
                let mut command = support::repeated(command);
                support::succeed(command.args(libraries).arg(&folder).args([way, seen]));
            }
        }
    });
}

#[test]
fn a_library_that_is_opened_at_ever_new_places_is_one_and_has_its_stacks_once() {
    for options in [&[][..], &["-DWRITABLE_TABLES"]] {
        let library =
            |name: &str, room: &str| shared_library("plugin.c", &[options, &[name, room, "-Wl,--build-id"]].concat());
        each_build("moved.c", &["-O2"], |command| {
            support::succeed(command.args([
                library("-DNAME_LEAF=alpha", "-DROOM=300"),
                library("-DNAME_LEAF=omega", "-DROOM=400"),
            ]));
        });
    }
}

#[test]
fn a_preloaded_allocator_whose_functions_have_no_default_version_is_the_one_that_allocates() {
    let library = "libc_malloc_debug.so.0";
    let found = std::process::Command::new("gcc")
        .arg(format!("-print-file-name={library}"))
        .output();
    let found = String::from_utf8(found.expect("gcc").stdout).unwrap();
    if !found.starts_with('/') {
        eprintln!("not tried: this C library is older than 2.34, or comes without {library}");
        return;
    }
    let options = [&["-O2", "-fno-builtin"], support::WHOLE_PROCESS].concat();
    support::archive_build("preloaded.c", &options, |command| {
        support::succeed(command.env("LD_PRELOAD", found.trim()).env("MALLOC_CHECK_", "3"));
    });
}

#[test]
fn a_library_without_its_file_is_named_by_what_it_exports() {
    for (exported, options) in [("1", &["-DEXPORTED"][..]), ("0", &[])] {
        for build_id in ["-Wl,--build-id", "-Wl,--build-id=none"] {
            let library = |name: &str| shared_library("plugin.c", &[options, &[name, build_id]].concat());
            each_build("gone.c", &["-O2"], |command| {
                let files = [library("-DNAME_LEAF=alpha"), library("-DNAME_LEAF=omega")];
                support::succeed(command.args(files).arg(exported));
            });
        }
    }
}

#[test]
fn threads_are_seen_from_their_first_allocation_to_their_last() {
    run("threads.c", &["-O2"]);
}

#[test]
fn the_program_keeps_its_stack_its_floating_point_and_its_forks() {
    run("polite.c", &["-O2", "-fno-builtin"]);
}

#[test]
fn a_count_follows_its_timer_exactly() {
    run("counting.c", &["-O2"]);
}

#[test]
fn both_sides_of_a_fork_go_on() {
    run("fork.c", &["-O2"]);
}

#[test]
fn without_memory_for_our_tables_the_program_is_served_and_the_loss_counted() {
    each_build("no_memory.c", &["-O2", "-fno-builtin"], |command| {
        support::succeed(command);
        support::succeed(command.arg("with tables"));
    });
}

#[test]
fn the_environment_sets_the_rate() {
    each_build("environment.c", &["-O2"], |command| {
        // Value, rate, how often "ignored" is said on stderr.
        for (value, rate, complaints) in [
            (None, "524288", 0),
            (Some(""), "524288", 0),
            (Some("rate=1"), "1", 0),
            (Some("rate=0"), "0", 0),
            (Some("rate=64KiB"), "65536", 0),
            (Some("speed=3"), "524288", 1),
            (Some("speed=3,rate=1"), "1", 1),
            (Some("rate=fast"), "524288", 1),
            (Some("rate=-1,speed=3"), "524288", 2),
        ] {
            let mut command = support::repeated(command);
            if let Some(value) = value {
                command.env("CGOHEAP", value);
            }
            let out = support::succeed(command.arg(rate));
            let stderr = String::from_utf8_lossy(&out.stderr);
            assert_eq!(stderr.matches("ignored").count(), complaints, "{value:?}: {stderr}");
            assert_eq!(stderr.lines().count(), complaints, "{value:?}: {stderr}");
        }
    });
}

#[test]
fn a_program_without_go_dumps_from_a_thread() {
    each_build("dump.c", &["-O2"], |command| {
        let folder = support::folder("dumps");
        let setting = format!("rate=1,dump={}/p,limit=1MiB", folder.display());
        let out = support::succeed(command.arg(&folder).env("CGOHEAP", setting));
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(stderr.matches("cgoheap: dump (").count(), 5, "{stderr}");
        std::fs::remove_dir_all(&folder).expect("our own folder");
    });
}

#[test]
fn what_is_in_use_is_exact_after_threads_have_freed_each_others_blocks() {
    run("stress.c", &["-O2"]);
}
