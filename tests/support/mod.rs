//! Builds and runs the C and C++ programs of `tests/programs/`: each touches the state of a whole process, so each is
//! one. They check themselves, and say on stderr what they found wrong.
//!
//! Every program runs twice: over the debug library, whose assertions are on, and over the archive that users link.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A library to link with, and what it needs besides.
struct Library {
    name: &'static str,
    file: PathBuf,
    needs: &'static [&'static str],
}

/// The processor's name in Go.
const GO_ARCH: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "amd64"
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target/tmp has a parent")
}

fn libraries() -> &'static [Library; 2] {
    static LIBRARIES: OnceLock<[Library; 2]> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        succeed(
            Command::new(env!("CARGO"))
                .current_dir(root())
                .env("CARGO_TARGET_DIR", target())
                .args(["build", "--locked", "--quiet", "--lib"]),
        );
        // One at a time: several test programs may come here at once, and each replaces the archive.
        succeed(
            Command::new("flock")
                .current_dir(root())
                .env("CARGO_TARGET_DIR", target())
                .arg(target().join("build-archive.lock"))
                .arg("scripts/build-archive.sh"),
        );
        [
            Library {
                name: "debug",
                file: target().join("debug/libcgoheap.a"),
                needs: &["-lgcc_s", "-lm"],
            },
            Library {
                name: "archive",
                file: root().join(format!("go/internal/lib/linux_{GO_ARCH}/libcgoheap.a")),
                needs: &[],
            },
        ]
    })
}

/// The object that the archive is made of, with the names and sections of its functions.
#[allow(dead_code, reason = "for one test program")]
pub fn archive_with_names() -> PathBuf {
    libraries();
    target().join("archive/local.o")
}

/// Whether a hook that panicked would go on there. None does, so what it leads to isn't followed; but a compiler can't always see that.
#[allow(dead_code, reason = "for tests that read the archive")]
pub fn panics(name: &str) -> bool {
    PANICS.iter().any(|panic| name.contains(panic))
}

const PANICS: &[&str] = &[
    "9panicking",
    "_Unwind_Resume",
    "_fail",
    "unwrap_failed",
    "expect_failed",
    "panic_already",
    "alloc_error",
];

/// What stands for a function of libc, by the list in the header, or is called by `CgoHeap`.
#[allow(dead_code, reason = "for tests that read the archive")]
pub fn is_hook(name: &str) -> bool {
    const HEADER: &str = include_str!("../../include/cgoheap.h");
    let (_, hooks) = HEADER
        .split_once("#define CGOHEAP_ATTRIBUTE(list)\n")
        .expect("the header's hooks");
    let (hooks, _) = hooks.split_once("#undef CGOHEAP_NOTHROW").expect("their end");
    name.starts_with("cgoheap_rust_") || name.starts_with("cgoheap_") && hooks.contains(&format!("{name}("))
}

fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs `command`, which has to succeed, and returns its output.
pub fn succeed(command: &mut Command) -> Output {
    let out = output(command);
    assert!(
        out.status.success(),
        "{command:?}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    out
}

/// The command that [`each_build`] handed out, without what was added since.
#[allow(dead_code, reason = "not every test program has arguments")]
pub fn repeated(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args().take(3)).env_remove("CGOHEAP");
    again
}

/// A path that no other test uses.
fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    std::fs::create_dir_all(&folder).expect("target folder");
    folder.join(format!("{}-{number}-{name}", std::process::id()))
}

/// An empty folder that no other test uses.
#[allow(dead_code, reason = "not every test program writes files")]
pub fn folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    std::fs::create_dir_all(&folder).expect("target folder");
    folder
}

fn compiler(source: &str) -> Command {
    let mut command = Command::new(if source.ends_with(".cpp") { "g++" } else { "gcc" });
    command
        .args(["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g"])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("tests/programs"));
    command
}

fn source(name: &str) -> PathBuf {
    root().join("tests/programs").join(name)
}

/// Options that make malloc and its relatives ours, as go/interpose does for the whole process.
#[allow(dead_code, reason = "not every test program captures the whole process")]
pub const WHOLE_PROCESS: &[&str] = &[
    "-Wno-error",
    "-Wno-extra",
    "-DCGOHEAP_NO_REDIRECT",
    "-Igo/interpose",
    "go/interpose/decide.c",
    "go/interpose/glibc.c",
];

/// A shared library of `name`, which finds cgoheap in the program that opens it.
#[allow(dead_code, reason = "not every test program opens libraries")]
pub fn shared_library(name: &str, options: &[&str]) -> PathBuf {
    let file = scratch("plugin.so");
    succeed(
        compiler(name)
            .args(["-O2", "-shared", "-fPIC"])
            .args(options)
            .arg(source(name))
            .arg("-o")
            .arg(&file),
    );
    file
}

/// The archive as a shared library: options for a program that has cgoheap in there, and not in itself.
#[allow(dead_code, reason = "for one test program")]
pub fn options_for_archive_as_library() -> Vec<String> {
    let file = scratch("libcgoheap.so");
    let library = &libraries()[1];
    succeed(
        compiler("check.c")
            .args(["-shared", "-Wl,-Bsymbolic", "-Wl,--whole-archive"])
            .arg(&library.file)
            .args(["-Wl,--no-whole-archive", "-lm", "-ldl", "-o"])
            .arg(&file),
    );
    let file = file.to_str().expect("UTF-8").to_owned();
    vec!["-Wl,--no-as-needed".to_owned(), file]
}

/// Builds `tests/programs/<name>` with `options` and hands each build to `with` as a command under a watchdog. A
/// program that hangs is killed, and fails.
#[allow(dead_code, reason = "not every test program is for both")]
pub fn each_build(name: &str, options: &[&str], with: impl FnMut(&mut Command)) {
    build_over(libraries(), name, options, with);
}

/// The same over the archive alone: for what the debug library leaves to the program, its allocator.
#[allow(dead_code, reason = "few test programs are about the archive alone")]
pub fn archive_build(name: &str, options: &[&str], with: impl FnMut(&mut Command)) {
    build_over(&libraries()[1..], name, options, with);
}

fn build_over(libraries: &[Library], name: &str, options: &[&str], mut with: impl FnMut(&mut Command)) {
    let fully_static = options.iter().any(|option| option.starts_with("-static"));
    for library in libraries {
        // libgcc_s is only there as a shared library.
        let needs = library.needs.iter().map(|name| match *name {
            "-lgcc_s" if fully_static => "-lgcc_eh",
            name => name,
        });
        let binary = scratch(&format!("{}-{}", library.name, name.replace('.', "-")));
        let helpers = binary.with_extension("o");
        succeed(
            compiler("check.c")
                .args(["-O1", "-c"])
                .arg(source("check.c"))
                .arg("-o")
                .arg(&helpers),
        );
        succeed(
            compiler(name)
                .args(options)
                .args(["-pthread", "-rdynamic"])
                .arg(source(name))
                .args(["-x", "none"])
                .arg(&helpers)
                .arg(&library.file)
                .args(needs)
                .args(["-ldl", "-o"])
                .arg(&binary),
        );
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "300"])
            .arg(&binary)
            .env_remove("CGOHEAP");
        with(&mut command);
        let _ = std::fs::remove_file(&helpers);
        let _ = std::fs::remove_file(&binary);
    }
}

/// Builds `tests/programs/<name>` with `options`; each build has to exit with 0.
#[allow(dead_code, reason = "not every test program is for both")]
pub fn run(name: &str, options: &[&str]) {
    each_build(name, options, |command| {
        succeed(command);
    });
}
