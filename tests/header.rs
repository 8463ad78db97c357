//! `include/cgoheap.h` under the compilers that count: gcc, g++ and, where installed, clang and clang++, with warnings as
//! errors. The programs in `tests/header/` run over stub hooks that note each call, not over cgoheap itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const WARNINGS: &[&str] = &[
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wredundant-decls",
    "-Wshadow",
    "-Werror",
];

/// The three ways a file comes to the header: first thing, after libc's headers, or by the command line.
const WAYS: &[&[&str]] = &[&[], &["-DINCLUDE_LATE"], &["-include", "cgoheap.h"]];

const C: &[&str] = &["gcc", "clang"];
const CPP: &[&str] = &["g++", "clang++"];

/// Those of `names` that are installed. The GNU ones have to be.
fn installed(names: &[&'static str]) -> Vec<&'static str> {
    let works = |name: &str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|out| out.status.success())
    };
    let found: Vec<_> = names.iter().copied().filter(|name| works(name)).collect();
    assert!(found.contains(&names[0]), "{} is needed for this test", names[0]);
    found
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/header").join(name)
}

/// A path of its own for what one test makes.
fn output(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("header");
    std::fs::create_dir_all(&folder).expect("target folder");
    folder.join(name)
}

/// Runs `command`, which has to succeed, and returns what it printed to stdout.
fn run(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    assert!(out.status.success(), "{command:?}: {}\n{stdout}{stderr}", out.status);
    stdout.into_owned()
}

/// A compiler with our folder on its search path and all warnings as errors.
fn compiler(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .args(WARNINGS)
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("include"));
    if name.starts_with("g") {
        command.arg("-Wno-misleading-indentation"); // `if (...) ...; EXPECT(...)` on one line is meant so
    }
    command
}

/// The stub hooks as an object file. Always without -flto: gcc would see through them and drop what it finds unneeded.
fn stub(test: &str) -> PathBuf {
    let object = output(&format!("{test}-stub.o"));
    run(compiler("gcc")
        .args(["-std=gnu11", "-O1", "-c"])
        .arg(source("stub.c"))
        .arg("-o")
        .arg(&object));
    object
}

/// Builds and runs a program in every mix of compiler, standard, optimisation and way of including.
fn build_and_run(program: &str, compilers: &[&'static str], standards: &[&str], ways: &[&[&str]]) {
    let stub = stub(program);
    for name in installed(compilers) {
        let mut modes = vec![vec!["-O0", "-g"], vec!["-O2", "-D_FORTIFY_SOURCE=2"]];
        if name.starts_with("g") {
            modes.push(vec!["-O2", "-flto"]);
        }
        for standard in standards {
            for mode in &modes {
                for way in ways {
                    let binary = output(&format!("{program}-{name}"));
                    let mut command = compiler(name);
                    command.arg(format!("-std={standard}")).args(mode).args(*way);
                    run(command
                        .arg(source(program))
                        .args(["-x", "none"])
                        .arg(&stub)
                        .arg("-o")
                        .arg(&binary));
                    println!("{name} {standard} {mode:?} {way:?}");
                    run(&mut Command::new(&binary));
                }
            }
        }
    }
}

#[test]
fn the_header_alone_compiles_in_every_language() {
    let empty = output("alone.c");
    std::fs::write(
        &empty,
        "#include \"cgoheap.h\"\n#include \"cgoheap.h\"\ntypedef int not_empty;\n",
    )
    .unwrap();
    let languages = [
        (C, "c", &["c99", "c11", "gnu17", "gnu2x"][..]),
        (CPP, "c++", &["gnu++98", "c++11", "c++14", "c++17", "c++20"][..]),
    ];
    for (compilers, language, standards) in languages {
        for name in installed(compilers) {
            for standard in standards {
                let mut command = compiler(name);
                if *standard == "gnu++98" {
                    command.args(["-Wno-variadic-macros", "-Wno-long-long"]); // which are C99's and C++11's
                    command.args(if name == "clang++" {
                        &["-Wno-c++11-long-long"][..]
                    } else {
                        &[]
                    });
                }
                command
                    .arg(format!("-std={standard}"))
                    .args(["-fsyntax-only", "-x", language]);
                run(command.arg(&empty));
            }
        }
    }
}

#[test]
fn each_c_call_is_seen_once_with_its_place() {
    build_and_run("calls.c", C, &["c99", "gnu17"], WAYS);
}

#[test]
fn each_cpp_call_is_seen_once_with_its_place() {
    build_and_run("calls.cpp", CPP, &["c++11", "c++20"], WAYS);
}

#[test]
fn macros_that_a_file_has_changed_stay_changed() {
    build_and_run("own_macro.c", C, &["gnu17"], &[&[], &["-include", "cgoheap.h"]]);
}

#[test]
fn nothing_is_redirected_unless_asked() {
    build_and_run("no_redirect.c", C, &["gnu17"], &[&[], &["-DWITHOUT_HEADER"]]);
    build_and_run(
        "no_redirect.c",
        CPP,
        &["c++17"],
        &[&["-x", "c++"], &["-DWITHOUT_HEADER", "-x", "c++"]],
    );
}

#[test]
fn feature_macros_of_a_file_are_obeyed_under_include() {
    for (file, standard) in [
        ("gnu_source.c", "c99"),
        ("gnu_source.c", "gnu17"),
        ("posix_source.c", "c99"),
    ] {
        for name in installed(C) {
            for way in [&[][..], &["-include", "cgoheap.h"]] {
                let mut command = compiler(name);
                command
                    .arg(format!("-std={standard}"))
                    .args(["-fsyntax-only"])
                    .args(way);
                run(command.arg(source(file)));
            }
        }
    }
}

#[test]
fn assembly_passes_under_include() {
    for name in installed(C) {
        let object = output(&format!("assembly-{name}.o"));
        run(compiler(name)
            .args(["-include", "cgoheap.h", "-c"])
            .arg(source("assembly.S"))
            .arg("-o")
            .arg(object));
    }
}

/// Headers of libc, POSIX and the compiler: whatever declares, calls or undefines one of our names is among them.
const C_HEADERS: &str = "\
    aio.h alloca.h argp.h argz.h arpa/inet.h assert.h byteswap.h complex.h cpio.h ctype.h dirent.h dlfcn.h elf.h \
    endian.h envz.h err.h errno.h error.h execinfo.h fcntl.h features.h fenv.h float.h fmtmsg.h fnmatch.h fstab.h \
    fts.h ftw.h getopt.h glob.h grp.h iconv.h ifaddrs.h immintrin.h inttypes.h langinfo.h libgen.h limits.h link.h \
    locale.h malloc.h math.h mcheck.h mm_malloc.h mntent.h monetary.h mqueue.h net/if.h netdb.h netinet/in.h \
    netinet/tcp.h nl_types.h obstack.h poll.h printf.h pthread.h pty.h pwd.h regex.h resolv.h sched.h search.h \
    semaphore.h setjmp.h shadow.h signal.h spawn.h stdarg.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h \
    strings.h sys/epoll.h sys/file.h sys/ioctl.h sys/mman.h sys/msg.h sys/param.h sys/resource.h sys/select.h \
    sys/sem.h sys/shm.h sys/socket.h sys/stat.h sys/syscall.h sys/sysinfo.h sys/time.h sys/times.h sys/types.h \
    sys/uio.h sys/un.h sys/utsname.h sys/wait.h syslog.h tar.h termios.h tgmath.h time.h ucontext.h ulimit.h unistd.h \
    utime.h utmp.h utmpx.h wchar.h wctype.h wordexp.h x86intrin.h";

const CPP_HEADERS: &str = "\
    algorithm any array atomic bitset charconv chrono cassert cctype cerrno cfenv cfloat cinttypes climits clocale \
    cmath complex condition_variable csetjmp csignal cstdarg cstddef cstdint cstdio cstdlib cstring ctime cwchar \
    cwctype deque exception ext/malloc_allocator.h ext/pool_allocator.h filesystem forward_list fstream functional \
    future initializer_list iomanip ios iostream istream iterator limits list locale malloc.h map memory \
    memory_resource mm_malloc.h mutex new numeric optional ostream queue random ratio regex scoped_allocator set \
    shared_mutex sstream stack stdexcept stdio.h stdlib.h streambuf string string.h string_view strings.h \
    system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant \
    vector";

/// Text that fails to compile where the macros are not in force.
const STILL_IN_FORCE: &str = "\
    #if !defined malloc || !defined realloc || !defined strdup || !defined asprintf || !defined memalign\n\
    #error \"a macro of cgoheap is gone\"\n\
    #endif\n\
    void *in_force(unsigned long n);\n\
    void *in_force(unsigned long n) { return malloc(n); }\n";

/// Compiles one file that includes `headers` in their order, under `-include cgoheap.h`.
fn include_all(test: &str, name: &str, options: &[&str], headers: &[&str]) {
    let mut text = String::new();
    for header in headers {
        writeln!(text, "#include <{header}>").unwrap();
    }
    text.push_str(STILL_IN_FORCE);
    let file = output(&format!("{test}-{name}.c"));
    std::fs::write(&file, text).unwrap();
    let mut command = compiler(name);
    // _mm_malloc.h of gcc and <complex.h> in C++ warn for themselves on some versions: only errors count here.
    command
        .args(["-w", "-fsyntax-only", "-include", "cgoheap.h"])
        .args(options);
    run(command.arg(file));
}

/// All headers forwards and backwards, and each of `alone` by itself.
fn in_any_order(test: &str, compilers: &[&'static str], options: &[&str], headers: &str, alone: &str) {
    let mut headers: Vec<_> = headers.split_whitespace().collect();
    for name in installed(compilers) {
        for _ in 0..2 {
            include_all(test, name, options, &headers);
            headers.reverse();
        }
        for header in alone.split_whitespace() {
            include_all(test, name, options, &[header]);
        }
    }
}

#[test]
fn system_c_headers_compile_after_the_header_in_any_order() {
    assert!(C_HEADERS.split_whitespace().count() >= 100);
    in_any_order("c-headers", C, &["-std=gnu17", "-D_GNU_SOURCE"], C_HEADERS, C_HEADERS);
}

#[test]
fn system_c_headers_compile_fortified_and_as_cpp() {
    in_any_order(
        "c-fortified",
        C,
        &["-O2", "-D_FORTIFY_SOURCE=2", "-D_GNU_SOURCE"],
        C_HEADERS,
        "stdio.h string.h",
    );
    in_any_order(
        "c-as-cpp",
        CPP,
        &["-x", "c++", "-std=c++17"],
        C_HEADERS,
        "stdio.h stdlib.h string.h malloc.h",
    );
}

#[test]
fn cpp_headers_compile_after_the_header_in_any_order() {
    let alone = "cstdlib cstring cstdio stdlib.h malloc.h mm_malloc.h memory ext/malloc_allocator.h iostream";
    in_any_order("cpp-headers", CPP, &["-x", "c++", "-std=c++17"], CPP_HEADERS, alone);
}

/// Every field of the structs that Rust and C share is named once, here; the C program that prints C's offsets is made of the names.
#[test]
fn structs_have_the_same_layout_in_c_and_rust() {
    use cgoheap::Stats;
    use cgoheap::internals::{ffi, snapshot::StackTotals, tables::counters::Lost};
    use core::mem::{offset_of, size_of};

    let mut expected = String::new();
    let mut program = String::from("#include <cgoheap.h>\n#include <stdio.h>\n\nint main(void) {\n");
    let mut entry = |c: &str, operator: &str, value: usize| {
        writeln!(expected, "{c} {value}").unwrap();
        writeln!(program, "    printf(\"{c} %zu\\n\", {operator});").unwrap();
    };
    macro_rules! size {
        ($c:literal $type:ty) => {
            entry($c, concat!("sizeof(struct ", $c, ")"), size_of::<$type>())
        };
    }
    macro_rules! fields {
        ($start:expr, $c:literal $type:ty: $($name:ident)*) => {
            [$({
                let at = $start + offset_of!($type, $name);
                entry(concat!($c, ".", stringify!($name)), concat!("offsetof(struct ", $c, ", ", stringify!($name), ")"), at);
                at
            }),*]
        };
    }
    size!("cgoheap_stats" Stats);
    let before = fields!(0, "cgoheap_stats" Stats: interval_bytes alloc_objects alloc_bytes live_objects live_bytes
        alloc_bytes_margin live_bytes_margin samples live_samples stacks own_bytes go_frames interpose);
    let lost = fields!(offset_of!(Stats, lost), "cgoheap_stats" Lost: samples_no_memory samples_lock_busy stacks_table_full
        frees_lock_busy frees_unseen stacks_too_deep stacks_no_unwind_info stacks_bad_unwind_info stacks_unreadable
        stacks_go_system stacks_go_off stacks_bad_go stacks_no_room modules_table_full own_memory_refused);
    let after = fields!(0, "cgoheap_stats" Stats: peak_bytes peak_time_nanos live_bytes_in_doubt);
    // All are words, one behind the other.
    let words: Vec<_> = before.into_iter().chain(lost).chain(after).collect();
    let every: Vec<_> = (0..size_of::<Stats>()).step_by(8).collect();
    assert_eq!(words, every, "a field of Stats is missing in the lists above");

    size!("cgoheap_go_probe" ffi::GoProbe);
    fields!(0, "cgoheap_go_probe" ffi::GoProbe: boundary callback n_pcs pcs);
    size!("cgoheap_filter" ffi::CFilter);
    fields!(0, "cgoheap_filter" ffi::CFilter: since_mark flags min_age_nanos max_age_nanos);
    size!("cgoheap_stack" StackTotals);
    fields!(0, "cgoheap_stack" StackTotals: id alloc_objects alloc_bytes inuse_objects inuse_bytes);
    size!("cgoheap_range" ffi::Range);
    fields!(0, "cgoheap_range" ffi::Range: start bytes);
    program += "    return 0;\n}\n";
    let file = output("layout.c");
    std::fs::write(&file, program).expect("target folder");

    for (compilers, options) in [(C, &["-std=c99"][..]), (CPP, &["-x", "c++"])] {
        for name in installed(compilers) {
            let binary = output(&format!("layout-{name}"));
            run(compiler(name).args(options).arg(&file).arg("-o").arg(&binary));
            assert_eq!(run(&mut Command::new(&binary)), expected, "{name}");
        }
    }
}
