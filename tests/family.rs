//! The hooked family, written once: [`FAMILY`]. Every place that names its functions is compared with it.
//!
//! To add a function, add a line to [`FAMILY`] and run `cargo test --test family`: it says which places lack it, one by one.
//! Assembly, Rust, C and preprocessor macros have no list in common, so the list is here and they are held to it.
//!
//! In the family is a function of libc that
//! - the program may replace together with malloc (glibc's manual, "Replacing malloc"), or that asks a block's size; or
//! - returns one new block, always, and does nothing else with the heap: the copies and the formatted texts (`strdup`,
//!   `asprintf`).
//!
//! Not in it is what allocates only at times, or several blocks, or grows a block that the caller may have brought (`getline`,
//! `realpath`, `getcwd`, `scandir`, `open_memstream`): to record those a hook would have to know their insides. Their malloc is seen
//! where the whole process is captured.

use std::path::Path;

/// A function that cgoheap stands for.
struct Function {
    name: &'static str,
    /// The header of libc that declares it. Its wrapper in `include/` keeps the macro away from the declaration.
    declared: &'static str,
    /// How many arguments the form with a place has before file, line and function: `cgoheap_malloc_at(size, ...)` has 1.
    /// `None`: there is no such form, and no macro of the header.
    located: Option<u8>,
    /// Variadic, or with a `va_list`: in C, and redirected by a macro that passes the place first.
    printf: bool,
    /// Has a field of its own in the table of the backing allocator. The others are made of malloc.
    backing: bool,
    /// Redirected by a label of the header, so that uses without a call are seen too.
    label: bool,
    /// Defined by go/interpose for the whole process, and with `-tags cgoheap_wrap` by the linker's --wrap.
    captured: [bool; 2],
    /// Doesn't show as the leaf of a profile.
    cut: bool,
}

const fn function(name: &'static str, located: u8) -> Function {
    Function {
        name,
        declared: "stdlib.h",
        located: Some(located),
        printf: false,
        backing: true,
        label: true,
        captured: [true, true],
        cut: true,
    }
}

const FAMILY: [Function; 16] = [
    function("malloc", 1),
    Function {
        located: None,
        cut: false,
        ..function("free", 0)
    },
    function("calloc", 2),
    function("realloc", 2),
    function("reallocarray", 3),
    function("posix_memalign", 3),
    function("aligned_alloc", 2),
    Function {
        declared: "malloc.h",
        ..function("memalign", 2)
    },
    function("valloc", 1),
    Function {
        declared: "malloc.h",
        located: None,
        label: false,
        ..function("pvalloc", 0)
    },
    Function {
        declared: "malloc.h",
        located: None,
        captured: [false, false],
        cut: false,
        ..function("malloc_usable_size", 0)
    },
    made_of_malloc("strdup", "string.h", 1, false),
    made_of_malloc("strndup", "string.h", 2, false),
    made_of_malloc("wcsdup", "wchar.h", 1, false),
    made_of_malloc("asprintf", "stdio.h", 2, true),
    made_of_malloc("vasprintf", "stdio.h", 3, true),
];

/// With --wrap the C library's own strdup would call malloc unseen; where the whole process is captured it is seen.
const fn made_of_malloc(name: &'static str, declared: &'static str, located: u8, printf: bool) -> Function {
    Function {
        declared,
        printf,
        backing: false,
        label: !printf,
        captured: [false, !printf],
        cut: false,
        ..function(name, located)
    }
}

/// A list in a file.
struct Place {
    file: &'static str,
    what: &'static str,
    /// The names that the text has there.
    found: fn(&str) -> Vec<String>,
    /// Those that it ought to have.
    expected: Vec<String>,
    /// Whether their order counts: fields of one struct.
    ordered: bool,
}

/// Names of the functions for which `has` is true; with `_at` in the form with a place.
fn names(suffix: &str, has: fn(&Function) -> bool) -> Vec<String> {
    FAMILY
        .iter()
        .filter(|function| has(function))
        .map(|function| format!("{}{suffix}", function.name))
        .collect()
}

/// Every identifier that stands between `before` and `after` in the text.
fn between(text: &str, before: &str, after: &str) -> Vec<String> {
    text.match_indices(before)
        .filter_map(|(at, _)| {
            let rest = &text[at + before.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            (end > 0 && rest[end..].starts_with(after)).then(|| rest[..end].to_owned())
        })
        .collect()
}

/// The text from `start` to the next `end`.
fn part<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).map_or(text.len(), |at| at + start.len());
    let rest = &text[from..];
    &rest[..rest.find(end).unwrap_or(rest.len())]
}

fn lower_case(names: Vec<String>) -> Vec<String> {
    names
        .into_iter()
        .filter(|name| name.bytes().all(|byte| !byte.is_ascii_uppercase()))
        .collect()
}

/// The names of a list in prose: "malloc, calloc and free".
fn listed(text: &str) -> Vec<String> {
    let words = text.split([',', ' ', '\n']);
    let names = words.filter(|word| !word.is_empty() && *word != "and");
    names.map(str::to_owned).collect()
}

/// The first definition of `EACH(what)`.
fn each(text: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with("#define EACH(what)"));
    let mut more = true;
    let lines = lines.take_while(|line| std::mem::replace(&mut more, line.ends_with('\\')));
    between(&lines.skip(1).collect::<Vec<_>>().join("\n"), "what(", ")")
}

fn places() -> Vec<Place> {
    let place = |file, what, found, expected| Place {
        file,
        what,
        found,
        expected,
        ordered: false,
    };
    let fields = |file, found| Place {
        ordered: true,
        ..place(
            file,
            "the backing functions, in one order",
            found,
            names("", |f| f.backing),
        )
    };
    let in_assembly = |f: &Function| !f.printf && f.name != "malloc_usable_size";
    let located = |f: &Function| f.located.is_some();
    let located_in_rust = |f: &Function| f.located.is_some() && !f.printf;
    let both = |plain: fn(&Function) -> bool, at: fn(&Function) -> bool| [names("", plain), names("_at", at)].concat();
    vec![
        place(
            "src/hook/entry.rs",
            "entries",
            |text| {
                let mut found = between(text, "\n    cgoheap_", " => target::");
                found.extend(
                    between(text, "\n    cgoheap_", ": [")
                        .into_iter()
                        .filter(|name| !name.starts_with("rust_")),
                );
                found
            },
            both(in_assembly, located_in_rust),
        ),
        place(
            "src/hook/malloc.rs",
            "both_forms",
            |text| {
                // name, name_at, arguments, any_name;
                part(text, "\nboth_forms! {", "\n}")
                    .lines()
                    .filter_map(|line| line.trim().strip_suffix(';')?.split_once(", "))
                    .map(|(name, rest)| format!("{name} {rest}"))
                    .collect()
            },
            FAMILY
                .iter()
                .filter(|function| located_in_rust(function))
                .map(|f| format!("{0} {0}_at, {1}, any_{0}", f.name, f.located.unwrap_or(0)))
                .collect(),
        ),
        place(
            "src/hook/variadic.c",
            "functions",
            |text| between(text, "\nint cgoheap_", "("),
            both(|f| f.printf, |f| f.printf),
        ),
        fields("src/hook/backing.rs", |text| {
            between(text, "\n    pub ", ": unsafe extern")
        }),
        fields("src/hook/backing.c", |text| {
            // What not every C library has goes by a name of ours.
            let plain = |name: &str| name.trim().trim_start_matches("cgoheap_internal_").to_owned();
            let list = part(text, "= {", "}").split(',').map(plain);
            list.filter(|name| !name.is_empty()).collect()
        }),
        fields("include/cgoheap_backing.h", |text| between(text, "(*", ")(")),
        place(
            "src/profile/frames.rs",
            "functions that are cut",
            |text| between(part(text, "const FAMILY: ", "];"), "\"", "\""),
            names("", |f| f.cut),
        ),
        place(
            "include/cgoheap.h",
            "declarations",
            |text| {
                let hooks = part(
                    text,
                    "#define CGOHEAP_ATTRIBUTE(list)\n#endif",
                    "#undef CGOHEAP_NOTHROW",
                );
                between(hooks, "cgoheap_", "(")
            },
            both(|_| true, located),
        ),
        place(
            "include/cgoheap.h",
            "the names that its text on redirection lists",
            |text| listed(part(text, "two things happen to the names ", " from here")),
            names("", located_in_rust),
        ),
        place(
            "include/cgoheap.h",
            "#undef",
            |text| {
                lower_case(between(
                    part(text, "#define CGOHEAP_PLAIN", "\n#ifdef"),
                    "#undef ",
                    "\n",
                ))
            },
            names("", located),
        ),
        place(
            "include/cgoheap.h",
            "macros, with the number of their arguments",
            |text| {
                let macros = part(text, "#define CGOHEAP_PLAIN", "\n#ifdef");
                let counted = (1..=4).flat_map(|count| {
                    between(macros, "#define ", &format!("(...) CGOHEAP_IF_{count}(__VA_ARGS__)("))
                        .into_iter()
                        .map(move |name| format!("{name} {count}"))
                });
                let printing = between(macros, "#define ", "(...) cgoheap_");
                counted
                    .chain(printing.into_iter().map(|name| format!("{name} printf")))
                    .collect()
            },
            FAMILY
                .iter()
                .filter_map(|f| match f.printf {
                    true => Some(format!("{} printf", f.name)),
                    false => Some(format!("{} {}", f.name, f.located?)),
                })
                .collect(),
        ),
        place(
            "include/cgoheap_labels.h",
            "labels for clang",
            |text| between(text, "\".set ", ", cgoheap_"),
            names("", |f| f.label),
        ),
        place(
            "include/cgoheap_labels.h",
            "labels for gcc",
            |text| between(text, "CGOHEAP_LABEL(\"cgoheap_", "\")"),
            names("", |f| f.label),
        ),
        place(
            "include/cgoheap_optional.h",
            "definitions of the labels",
            |text| {
                let mut defined = between(text, "cgoheap_", "(");
                defined.retain(|name| !name.starts_with("libc_") && !name.ends_with("_at"));
                defined
            },
            names("", |f| f.label),
        ),
        place(
            "include/cgoheap_optional.h",
            "definitions of the located forms",
            |text| {
                let defined = between(text, "cgoheap_", "(").into_iter();
                defined
                    .filter_map(|name| name.strip_suffix("_at").map(str::to_owned))
                    .collect()
            },
            names("", located),
        ),
        place(
            "include/cgoheap_macros_off.h",
            "push_macro",
            |text| between(text, "push_macro(\"", "\")"),
            names("", located),
        ),
        place(
            "include/cgoheap_macros_off.h",
            "#undef",
            |text| between(text, "\n#undef ", "\n"),
            names("", located),
        ),
        place(
            "include/cgoheap_macros_on.h",
            "pop_macro",
            |text| between(text, "pop_macro(\"", "\")"),
            names("", located),
        ),
        place("go/interpose/decide.c", "EACH", each, names("", |f| f.captured[0])),
        place("go/interpose/wrap.c", "EACH", each, names("", |f| f.captured[1])),
        place(
            "go/interpose/wrap.go",
            "the linker's flags",
            |text| {
                let flags = text.split_whitespace();
                flags
                    .filter_map(|flag| Some(flag.strip_prefix("-Wl,--wrap=")?.to_owned()))
                    .collect()
            },
            names("", |f| f.captured[1]),
        ),
        place(
            "go/interpose/entries.h",
            "FAST(what), or an empty UNSAMPLED_ for who has no unsampled path",
            |text| {
                let fast = part(text, "#define FAST(what)", "\n");
                [between(text, "#define UNSAMPLED_", "\n"), between(fast, "what(", ")")].concat()
            },
            names("", |f| f.captured != [false, false]),
        ),
        place(
            "tests/header/stub.c",
            "stubs of the hooks",
            |text| {
                let mut found = between(text, " cgoheap_", "(");
                found.retain(|name| !name.ends_with("_at"));
                // BOTH(type, name, parameters, arguments)
                let both = text.lines().filter_map(|line| line.strip_prefix("BOTH("));
                found.extend(both.filter_map(|rest| rest.split(", ").nth(1)).map(str::to_owned));
                found
            },
            names("", |f| f.name != "pvalloc"),
        ),
        place(
            "tests/header/calls.c",
            "calls by name",
            |text| {
                let mut seen = between(text, "EXPECT_SITED(\"", "\", \"by_name\")");
                seen.extend(between(text, "EXPECT_SITED(\"", "\", \"call_vasprintf\")"));
                seen.sort();
                seen.dedup();
                seen
            },
            names("", located),
        ),
        place(
            "tests/programs/each_function.c",
            "calls",
            |text| {
                let mut calls = [between(text, "CALL(", ","), between(text, "PRINT(", ",")].concat();
                calls.retain(|name| name != "name");
                calls.sort();
                calls.dedup();
                calls
            },
            names("", located),
        ),
    ]
}

/// What is wrong with the names that a text has at a place.
fn difference(place: &Place, text: &str) -> Option<String> {
    let (mut found, mut expected) = ((place.found)(text), place.expected.clone());
    let Place { file, what, .. } = place;
    if !place.ordered {
        found.sort();
        expected.sort();
    }
    if found == expected {
        return None;
    }
    let without = |all: &[String], others: &[String]| {
        let rest: Vec<_> = all.iter().filter(|name| !others.contains(name)).cloned().collect();
        rest.join(", ")
    };
    let (lacking, beyond) = (without(&expected, &found), without(&found, &expected));
    let mut problem = format!("{file} ({what})");
    if !lacking.is_empty() {
        problem += &format!(" lacks {lacking}");
    }
    if !beyond.is_empty() {
        problem += &format!(" has {beyond}, which FAMILY in tests/family.rs doesn't have there");
    }
    if lacking.is_empty() && beyond.is_empty() {
        problem += &format!(" has them twice or in another order: {}", found.join(", "));
    }
    Some(problem)
}

fn text_of(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_place_names_every_function_of_the_family() {
    let problems: Vec<_> = places()
        .iter()
        .filter_map(|place| difference(place, &text_of(place.file)))
        .collect();
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// A macro named malloc would mangle libc's declaration of it. So each header that has one gets a wrapper in `include/`, which sets
/// the macros aside, and the text of `cgoheap.h` names all wrappers.
#[test]
fn every_header_of_libc_that_declares_a_function_has_a_wrapper() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let files = std::fs::read_dir(folder).expect("include");
    let names = files.map(|file| file.expect("include").file_name().into_string().expect("a name"));
    let mut wrappers: Vec<_> = names
        .filter(|name| text_of(&format!("include/{name}")).contains(&format!("\n#include_next <{name}>\n")))
        .collect();
    for Function { name, declared, .. } in &FAMILY {
        assert!(
            wrappers.iter().any(|wrapper| wrapper == declared),
            "{name}: include/{declared} is missing, a wrapper like include/string.h"
        );
    }
    for wrapper in &wrappers {
        let text = text_of(&format!("include/{wrapper}"));
        let order =
            ["\"cgoheap_macros_off.h\"", "include_next <", "\"cgoheap_macros_on.h\""].map(|line| text.find(line));
        assert!(order.is_sorted() && order[0].is_some(), "include/{wrapper}: {order:?}");
    }
    let mut named = listed(part(
        &text_of("include/cgoheap.h"),
        "headers named ",
        ", which set the macros aside",
    ));
    named.sort();
    wrappers.sort();
    assert_eq!(named, wrappers, "include/cgoheap.h names wrappers; include/ has them");
}

/// The comparison can fail: without any one function, or with one more, a place is found wrong.
#[test]
fn a_function_that_is_missing_in_one_place_is_noticed() {
    for place in places() {
        let text = text_of(place.file);
        for name in &place.expected {
            let name = name.split(' ').next().expect("a name");
            let other = format!("x{name}");
            let mut without = text.clone();
            for end in [",", ";", "(", ")", ":", "\"", "\n", " ", "_at("] {
                for start in ["\n", " ", "_", "(", "\"", "*", "="] {
                    without = without.replace(&format!("{start}{name}{end}"), &format!("{start}{other}{end}"));
                }
            }
            assert!(
                difference(&place, &without).is_some(),
                "{} ({}): {name}",
                place.file,
                place.what
            );
        }
    }
}
