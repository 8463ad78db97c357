//! What a hook can reach outside the archive. Whatever libc function another library may interpose, or that allocates, locks or
//! is a cancellation point, must not be there: it would run inside malloc. Programs show it, each for one kind of harm; and the
//! archive's own relocations are read, for all that no program thinks of.
//!
//! Read is the object that `scripts/build-archive.sh` makes just before it throws names and the borders of functions away: a
//! section for each function, and a relocation for each reference between them. Followed is every reference, taken or not: calls,
//! addresses of functions, tables of functions.

mod support;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolIndex};
use support::{each_build, is_hook, panics};

/// Each with the reason why it can be called from malloc.
const ALLOWED: &[(&str, &str)] = &[
    ("__errno_location", "the address of a variable of the thread"),
    ("__libc_stack_end", "a variable of the loader"),
    (
        "_dl_find_object",
        "takes no lock and allocates nothing; nobody else has the tables that it reads",
    ),
    ("dl_iterate_phdr", LIST),
    ("pthread_mutex_trylock", LIST),
    ("pthread_mutex_unlock", LIST),
    ("getauxval", "reads what the kernel gave the process"),
    (
        "secure_getenv",
        "reads the environment; takes no lock and allocates nothing",
    ),
    ("vasprintf", "the backing function of cgoheap_asprintf"),
    ("bcmp", COMPILERS),
    ("memcmp", COMPILERS),
    ("memcpy", COMPILERS),
    ("memmove", COMPILERS),
    ("memset", COMPILERS),
    ("strlen", COMPILERS),
    // By the table of backing functions alone.
    ("aligned_alloc", BACKING),
    ("calloc", BACKING),
    ("free", BACKING),
    ("malloc", BACKING),
    ("malloc_usable_size", BACKING),
    ("memalign", BACKING),
    ("posix_memalign", BACKING),
    ("pvalloc", BACKING),
    ("realloc", BACKING),
    ("reallocarray", BACKING),
    ("valloc", BACKING),
];

const COMPILERS: &str = "compilers call it on their own: whoever interposes it expects calls at any moment";
const BACKING: &str = "the backing allocator";
const LIST: &str = "only on a glibc without _dl_find_object, once for each library that comes or goes, on a spare stack, and with the \
                    loader's lock taken by whoever can have it at once: it waits for nobody (src/sys/libc/glibc/object_list.rs)";
const BACKING_TABLE: &str = "cgoheap_backing";

#[test]
fn hooks_are_known_by_the_header() {
    for hook in ["malloc", "free", "strdup_at", "pvalloc", "vasprintf_at", "rust_freeing"] {
        assert!(is_hook(&format!("cgoheap_{hook}")), "{hook}");
    }
    for other in ["cgoheap_snapshot_take", "cgoheap_mark", "malloc", "cgoheap_mall"] {
        assert!(!is_hook(other), "{other}");
    }
}

/// What is reached from the sections of `roots`: each undefined symbol, with the way that leads there.
fn reached(file: &object::File, roots: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<String>> {
    // A section is named by the first function or table in it.
    let mut names: HashMap<SectionIndex, String> = HashMap::new();
    let mut todo = VecDeque::new();
    for symbol in file.symbols() {
        let (Ok(name), Some(section)) = (symbol.name(), symbol.section_index()) else {
            continue;
        };
        if !name.is_empty() && symbol.kind() != object::SymbolKind::Section {
            names.entry(section).or_insert_with(|| name.to_owned());
        }
        if roots(name) {
            todo.push_back((section, vec![name.to_owned()]));
        }
    }
    let symbol = |index: SymbolIndex| file.symbol_by_index(index).expect("a relocation's symbol");
    let mut seen: HashSet<SectionIndex> = todo.iter().map(|(section, _)| *section).collect();
    let mut outside = BTreeMap::new();
    while let Some((index, way)) = todo.pop_front() {
        let section = file.section_by_index(index).expect("a symbol's section");
        for (_, relocation) in section.relocations() {
            let RelocationTarget::Symbol(target) = relocation.target() else {
                continue;
            };
            let target = symbol(target);
            let name = target.name().unwrap_or_default();
            let Some(next) = target.section_index() else {
                if target.is_undefined() && !name.is_empty() {
                    outside.entry(name.to_owned()).or_insert_with(|| way.clone());
                }
                continue;
            };
            let section_name = names.get(&next).map_or("?", String::as_str);
            if panics(name) || panics(section_name) || !seen.insert(next) {
                continue;
            }
            todo.push_back((next, [&way[..], &[section_name.to_owned()]].concat()));
        }
    }
    outside
}

/// Whether the last step of the way is out of the table of backing functions, or from the one of them that is ours.
fn is_by_table(way: &[String]) -> bool {
    let way = match way {
        [way @ .., last] if last == "cgoheap_internal_reallocarray" => way,
        way => way,
    };
    way.last().is_some_and(|last| last == BACKING_TABLE)
}

#[test]
fn hooks_reach_nothing_that_others_interpose() {
    let bytes = std::fs::read(support::archive_with_names()).expect("the archive's object");
    let file = object::File::parse(&*bytes).expect("an ELF object");
    let outside = reached(&file, is_hook);
    let wrong: Vec<_> = outside
        .iter()
        .filter(
            |(name, way)| match ALLOWED.iter().find(|(allowed, _)| allowed == name) {
                None => true,
                Some((_, reason)) => *reason == BACKING && !is_by_table(way),
            },
        )
        .map(|(name, way)| format!("{name}: by way of {}", way.join(" -> ")))
        .collect();
    assert!(
        wrong.is_empty(),
        "a hook reaches functions of libc that may be another library's, and then run inside malloc; make the system call \
         (src/sys/os), or say in ALLOWED why it is right:\n{}",
        wrong.join("\n")
    );
    for (name, _) in ALLOWED.iter().filter(|(_, reason)| *reason != COMPILERS) {
        assert!(
            outside.contains_key(*name),
            "no hook reaches {name} any more: take it off the list"
        );
    }

    // The same walk sees what is there: functions that aren't hooks reach these.
    let control = reached(&file, |name| {
        name == "cgoheap_dump_start" || name == "cgoheap_dump_store"
    });
    for name in ["pthread_create", "pthread_sigmask", "rename", "write"] {
        assert!(
            control.contains_key(name),
            "the walk doesn't find {name}, which dumps call"
        );
    }
}

#[test]
fn functions_that_the_program_has_in_place_of_libcs_are_not_called() {
    each_build("interposed.c", &["-O1", "-fno-builtin"], |command| {
        let out = support::succeed(command.env("CGOHEAP", "speed=1"));
        assert_eq!(String::from_utf8_lossy(&out.stderr).matches("ignored").count(), 1);
    });
}

#[test]
fn malloc_is_no_cancellation_point() {
    each_build("cancelled.c", &["-O1", "-fno-builtin"], |command| {
        support::succeed(command.env("CGOHEAP", "speed=1,rate=7"));
    });
}

#[test]
fn an_answer_that_nobody_foresaw_means_unreadable() {
    each_build("sandbox.c", &["-O1", "-fno-builtin"], |command| {
        for error in [libc::EPERM, libc::ENOSYS, libc::EFAULT, libc::EACCES] {
            support::succeed(support::repeated(command).arg(error.to_string()));
        }
    });
}

#[test]
fn errno_of_a_whole_process_is_the_one_of_libc() {
    let options = ["-O1", "-fno-builtin"];
    let mut answers = Vec::new();
    for whole in [&[][..], support::WHOLE_PROCESS] {
        each_build("memalign_errno.c", &[&options, whole].concat(), |command| {
            let out = support::succeed(command.env("CGOHEAP", "rate=1"));
            answers.push(String::from_utf8(out.stdout).expect("text"));
        });
    }
    assert!(answers[0].contains("no memory: 12, errno 12"), "{}", answers[0]);
    for answer in &answers {
        assert_eq!(*answer, answers[0]);
    }
}

/// What runs before main, as a constructor: after those of the libraries that the program was linked with or that were preloaded.
const AT_START: &[(&str, &str)] = &[
    ("_dl_find_object", "as in hooks"),
    ("bcmp", COMPILERS),
    ("memcpy", COMPILERS),
    ("strlen", COMPILERS),
    ("getauxval", "reads what the kernel gave the process"),
    (
        "dl_iterate_phdr",
        "may take the loader's lock, which a constructor's caller holds already",
    ),
    (
        "pthread_atfork",
        "may allocate and take a lock of libc's: so it is not left to a hook",
    ),
    ("close", STATIC),
    ("fstat", STATIC),
    ("mmap", STATIC),
    ("munmap", STATIC),
    ("open", STATIC),
];
const STATIC: &str = "a fully static program alone looks for its unwind tables, and nothing is preloaded into it";

#[test]
fn what_runs_before_main_reaches_little() {
    let bytes = std::fs::read(support::archive_with_names()).expect("the archive's object");
    let file = object::File::parse(&*bytes).expect("an ELF object");
    let found = reached(&file, |name| name.ends_with("8AT_START"));
    let expected: HashSet<&str> = AT_START.iter().map(|(name, _)| *name).collect();
    let found: HashSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        found, expected,
        "say in AT_START why it is right, or take it off the list"
    );
}

/// What `go/interpose` calls to find out whose malloc the process has: at the very first call of malloc, which may be the loader's.
const DECIDES: &[(&str, &str)] = &[
    ("__errno_location", "the address of a variable of the thread"),
    ("dlopen", "in a shared library's constructor"),
    (
        "dlsym",
        "once; whatever it allocates goes to the hooks already, over libc's own functions",
    ),
    ("dlvsym", "as dlsym"),
    ("getauxval", "reads what the kernel gave the process"),
    (
        "gnu_get_libc_version",
        "a constant; for aligned_alloc with a strange alignment",
    ),
    ("malloc_usable_size", BACKING),
];

#[test]
fn the_entries_of_a_whole_process_reach_little() {
    let mut found = HashSet::new();
    for source in ["go/interpose/decide.c", "go/interpose/glibc.c"] {
        let object = support::folder("entries").join("entries.o");
        support::succeed(
            std::process::Command::new("gcc")
                .args([
                    "-O2",
                    "-DCGOHEAP_NO_REDIRECT",
                    "-Iinclude",
                    "-Igo/interpose",
                    "-c",
                    source,
                    "-o",
                ])
                .arg(&object),
        );
        let bytes = std::fs::read(object).expect("gcc's object");
        let file = object::File::parse(&*bytes).expect("an ELF object");
        let outside = file.symbols().filter(|symbol| symbol.is_undefined());
        found.extend(outside.filter_map(|symbol| Some(symbol.name().ok()?.to_owned())));
    }
    found.retain(|name| {
        let ours_or_linkers = name.starts_with("cgoheap_") || name == "__ehdr_start" || name.starts_with("_GLOBAL");
        !name.is_empty() && !ours_or_linkers && !name.starts_with("__libc_")
    });
    let expected: HashSet<String> = DECIDES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        found, expected,
        "say in DECIDES why it is right, or take it off the list"
    );
}
