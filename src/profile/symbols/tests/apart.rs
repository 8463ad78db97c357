//! Debug information in every form and place in which compilers and distributions leave it. The tools that make it are theirs: gcc,
//! objcopy, dwz, dwp, xz.

use super::*;
use std::path::PathBuf;

/// A folder of a test's own, with what is in it.
struct Folder {
    path: PathBuf,
    places: Places,
}

const SOURCE: &str = "\
static void *__attribute__((noinline)) after(void) { return __builtin_return_address(0); }
static inline void *__attribute__((always_inline)) inner(void) {
    void *volatile at = after();
    return at; }
static void *__attribute__((noinline)) hidden(void) {
    void *volatile at = inner();
    return at; }
void *probe(void) {
    void *volatile at = hidden();
    return at; }
";

/// What debug information says of the place.
const WHOLE: &[(&str, u32)] = &[("inner", 3), ("hidden", 6)];
/// What a symbol table says.
const SYMBOL: &[(&str, u32)] = &[("hidden", 0)];

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("cgoheap-apart-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let path = path.canonicalize().unwrap();
        let folder = Folder {
            places: Places {
                debug: path.join("usr/lib/debug"),
                caches: vec![path.join("cache")],
            },
            path,
        };
        folder.write("lib.c", SOURCE.as_bytes());
        folder
    }

    /// With a library `lib.so` by these options, and `full.so`, the same before anything was taken from it.
    fn with_library(name: &str, options: &str) -> Folder {
        let folder = Folder::new(name);
        folder.run(&format!(
            "cc -shared -fPIC -O1 {options} -o lib.so lib.c && cp lib.so full.so"
        ));
        folder
    }

    /// As distributions ship it: `lib.so` without debug information, which is in `lib.debug`, and a link to that one.
    fn stripped(name: &str, options: &str) -> Folder {
        let folder = Folder::with_library(name, options);
        folder.run(
            "objcopy --only-keep-debug full.so lib.debug && strip lib.so && objcopy --add-gnu-debuglink=lib.debug lib.so",
        );
        folder
    }

    fn write(&self, name: &str, contents: &[u8]) {
        let path = self.path.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// Runs a shell command in the folder.
    #[track_caller]
    fn run(&self, command: &str) {
        let out = Command::new("sh")
            .args(["-ec", command])
            .current_dir(&self.path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success(),
            "{command}: {said}\nThese tests need gcc, binutils, dwz and xz-utils."
        );
    }

    /// Moves `from`, with folders made on the way.
    fn put(&self, from: &str, to: &Path) {
        let to = self.path.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(self.path.join(from), to).unwrap();
    }

    fn below_root(&self) -> PathBuf {
        self.path.strip_prefix("/").unwrap().to_owned()
    }

    fn build_id(&self) -> String {
        let id = build_id(&self.path.join("full.so"));
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Loads `lib.so`, and names the place that it returns.
    fn names(&self) -> Vec<(String, u32)> {
        let (library, object) = Library::open(&self.path.join("lib.so"));
        let mut lines = Vec::new();
        if let Some(mut file) = DebugFile::open(&object, &self.places, true) {
            file.lines(library.probe() - 1 - object.load_bias, &mut lines);
        }
        lines.into_iter().map(|line| (line.function, line.line)).collect()
    }

    #[track_caller]
    fn expect(&self, expected: &[(&str, u32)]) {
        let expected: Vec<_> = expected.iter().map(|(name, line)| (name.to_string(), *line)).collect();
        assert_eq!(self.names(), expected);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[test]
fn a_debug_link_leads_beside_the_object_or_below_the_debug_folder() {
    for (name, build_id) in [("link", "-Wl,--build-id"), ("link-no-id", "-Wl,--build-id=none")] {
        let folder = Folder::stripped(name, &format!("-g {build_id}"));
        folder.expect(WHOLE);
        folder.put("lib.debug", Path::new(".debug/lib.debug"));
        folder.expect(WHOLE);
        let below = folder.places.debug.join(folder.below_root()).join("lib.debug");
        folder.put(".debug/lib.debug", &below);
        folder.expect(WHOLE);
        std::fs::remove_file(below).unwrap();
        folder.expect(&[]);
    }
}

#[test]
fn a_link_is_followed_from_where_a_symbolic_link_leads() {
    let folder = Folder::stripped("symbolic", "-g");
    std::fs::create_dir(folder.path.join("real")).unwrap();
    folder.put("lib.so", Path::new("real/lib.so"));
    folder.put("lib.debug", Path::new("real/lib.debug"));
    std::os::unix::fs::symlink("real/lib.so", folder.path.join("lib.so")).unwrap();
    folder.expect(WHOLE);
}

#[test]
fn a_debug_file_with_another_checksum_or_build_id_is_not_the_one() {
    for (name, build_id) in [("crc", "-Wl,--build-id"), ("crc-no-id", "-Wl,--build-id=none")] {
        let folder = Folder::stripped(name, &format!("-g {build_id}"));
        folder.run("cp lib.debug kept && printf x >>lib.debug");
        folder.expect(&[]);
        folder.run("cp kept lib.debug");
        folder.expect(WHOLE);
        // The next build's, after an upgrade of the debug package alone.
        folder.run("sed 's/^void/\\n\\nvoid/; s/hidden/other/' lib.c >new.c");
        folder.run(&format!(
            "cc -shared -fPIC -O1 -g {build_id} -o new.so new.c && objcopy --only-keep-debug new.so lib.debug"
        ));
        folder.expect(&[]);
    }
    let folder = Folder::with_library("crc-of-itself", "-g");
    folder.run(
        "strip lib.so; cp lib.so lib.debug; objcopy --add-gnu-debuglink=lib.debug lib.so; ln -sf lib.so lib.debug",
    );
    folder.expect(&[]);
}

#[test]
fn a_build_id_leads_to_the_debug_folder_or_a_cache() {
    let folder = Folder::stripped("id", "-g -Wl,--build-id");
    let id = folder.build_id();
    let by_id = folder
        .places
        .debug
        .join(format!(".build-id/{}/{}.debug", &id[..2], &id[2..]));
    folder.put("lib.debug", &by_id);
    folder.expect(WHOLE);
    let cached = folder.places.caches[0].join(id).join("debuginfo");
    folder.put(by_id.to_str().unwrap(), &cached);
    folder.expect(WHOLE);
    // debuginfod-find leaves an empty file where its servers know nothing.
    std::fs::write(&cached, b"").unwrap();
    folder.expect(&[]);
    // Another build's in that place.
    folder.run("cc -shared -fPIC -O1 -g -Wl,--build-id=0x0102 -o other.so lib.c");
    std::fs::copy(folder.path.join("other.so"), &cached).unwrap();
    folder.expect(&[]);
}

#[test]
fn an_objects_own_debug_information_comes_before_any_other() {
    let folder = Folder::with_library("own", "-g -Wl,--build-id=0x01020304");
    folder.run(
        "sed 's/hidden/wrong/' lib.c >other.c && cc -shared -fPIC -O1 -g -Wl,--build-id=0x01020304 -o other.so other.c",
    );
    folder.put("other.so", &folder.places.debug.join(".build-id/01/020304.debug"));
    folder.expect(WHOLE);
    folder.run("strip lib.so");
    folder.expect(&[("inner", 3), ("wrong", 6)]);
}

#[test]
fn what_dwz_has_moved_to_a_shared_file_is_found() {
    let folder = Folder::with_library("dwz", "-g -Wl,--build-id");
    folder.run("for n in 1 2; do sed \"s/probe/probe$n/\" lib.c >b$n.c; cc -shared -fPIC -O1 -g -o b$n.so b$n.c; done");
    folder.run("mkdir shared && dwz -m shared/common.debug -M shared/common.debug lib.so b1.so b2.so");
    folder.expect(WHOLE);
    // In the folder of build ids, as Debian's and Fedora's are.
    let id: String = build_id(&folder.path.join("shared/common.debug"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let by_id = folder
        .places
        .debug
        .join(format!(".build-id/{}/{}.debug", &id[..2], &id[2..]));
    folder.put("shared/common.debug", &by_id);
    folder.expect(WHOLE);
    // Without it, or with another build's, lines would be those of the outer function: the symbol's name is all that is right.
    std::fs::remove_file(by_id).unwrap();
    folder.expect(SYMBOL);
    std::fs::copy(folder.path.join("full.so"), folder.path.join("shared/common.debug")).unwrap();
    folder.expect(SYMBOL);
}

#[test]
fn packed_symbols_name_static_functions_of_a_stripped_object() {
    let folder = Folder::with_library("packed", "-g");
    folder.run(
        "objcopy -S --keep-symbol=hidden full.so mini && xz mini && strip lib.so && objcopy --add-section .gnu_debugdata=mini.xz lib.so",
    );
    folder.expect(SYMBOL);
    folder.run("head -c 200 mini.xz >cut && objcopy --update-section .gnu_debugdata=cut lib.so");
    folder.expect(&[]);
}

#[test]
fn compressed_sections_are_inflated_and_damaged_ones_leave_the_symbol() {
    for kind in ["zlib", "zlib-gnu", "zstd"] {
        let folder = Folder::with_library(kind, "-g");
        folder.run(&format!("objcopy --compress-debug-sections={kind} full.so lib.so"));
        folder.expect(WHOLE);
        if kind != "zlib-gnu" {
            // The size that the section says it has: more than the address space holds.
            folder.run(
                "at=$(readelf -SW lib.so | sed -n 's/^ *\\[[ 0-9]*\\] \\.debug_info *[A-Z]* *[0-9a-f]* *\\([0-9a-f]*\\) .*/\\1/p'); \
                 printf '\\377\\377\\377\\377\\377\\377\\377\\177' | dd of=lib.so bs=1 seek=$((0x$at + 8)) conv=notrunc status=none",
            );
            folder.expect(SYMBOL);
        }
    }
}

#[test]
fn split_units_are_found_beside_it_or_in_a_package() {
    let folder = Folder::new("split");
    for version in [5, 4] {
        folder.run(&format!(
            "cc -fPIC -O1 -gdwarf-{version} -gsplit-dwarf -c -o part.o lib.c && cc -shared -o lib.so part.o"
        ));
        folder.expect(WHOLE);
    }
    // (Debian 12's dwp crashes with version 5.)
    folder.run("dwp -e lib.so -o lib.so.dwp && rm part.dwo");
    folder.expect(WHOLE);
    folder.run("rm lib.so.dwp");
    // The line is in the object itself; which function was inlined there is not.
    folder.expect(&[("hidden", 3)]);
}

#[test]
fn brief_debug_information_and_every_version_of_it_are_read() {
    for options in [
        "-g1",
        "-gdwarf-3",
        "-gdwarf-4",
        "-gdwarf-5",
        "-gdwarf-4 -fdebug-types-section",
        "-g -flto",
    ] {
        let folder = Folder::with_library(&options.replace(' ', ""), options);
        folder.expect(WHOLE);
    }
}

/// Files of every kind where a debug file should be, and a library cut anywhere: names are missing, and that is all.
#[test]
fn files_that_are_cut_or_something_else_name_nothing_and_harm_nobody() {
    let folder = Folder::stripped("cut", "-g");
    let whole = std::fs::read(folder.path.join("lib.debug")).unwrap();
    let (_library, object) = Library::open(&folder.path.join("lib.so"));
    let id = folder.build_id();
    let by_id = folder
        .places
        .debug
        .join(format!(".build-id/{}/{}.debug", &id[..2], &id[2..]));
    std::fs::create_dir_all(by_id.parent().unwrap()).unwrap();
    std::fs::remove_file(folder.path.join("lib.debug")).unwrap();
    let mut lines = Vec::new();
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&by_id, &whole[..length]).unwrap();
        let file = DebugFile::open(&object, &folder.places, true);
        if let Some(mut file) = file {
            for address in (0..0x2000).step_by(13) {
                file.lines(address, &mut lines);
            }
        }
    }
    std::fs::remove_file(&by_id).unwrap();
    std::fs::create_dir(&by_id).unwrap();
    folder.expect(&[]);
    std::fs::remove_dir(&by_id).unwrap();
    // A pipe that nobody writes to: opening it would wait for ever.
    folder.run(&format!("mkfifo {}", by_id.display()));
    folder.expect(&[]);
    // All there is are the dynamic symbols of the library itself.
    assert!(
        lines.iter().all(|line| line.line == 0 && line.function != "hidden"),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.function == "probe"));
}

/// Numbers that look random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Bytes of a file that passes for the right one are anything: in the object itself with its link and its packed symbols, in the file with its
/// debug information, in the alternate one. What comes of it are names or none.
#[test]
fn damaged_files_of_every_kind_end_and_harm_nobody() {
    let folder = Folder::with_library("damaged", "-g -gz=none -Wl,--build-id=0x0102030405060708");
    folder.run("objcopy -S --keep-symbol=hidden full.so mini && xz mini && cp full.so other.so");
    folder.run("dwz -m common.debug full.so other.so && objcopy --only-keep-debug full.so lib.debug && strip lib.so");
    folder.run("objcopy --add-section .gnu_debugdata=mini.xz lib.so && objcopy --add-gnu-debuglink=lib.debug lib.so");
    folder.expect(WHOLE);
    let common = build_id(&folder.path.join("common.debug"));
    let (library, object) = Library::open(&folder.path.join("lib.so"));
    let at = library.probe() - 1 - object.load_bias;
    // By build id alone, which the damage leaves as it is.
    folder.put(
        "lib.debug",
        &folder.places.debug.join(".build-id/01/02030405060708.debug"),
    );
    let files = [
        ("lib.so".into(), object.build_id.clone()),
        (
            folder.places.debug.join(".build-id/01/02030405060708.debug"),
            object.build_id.clone(),
        ),
        (folder.path.join("common.debug"), common),
    ];
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut named = 0;
    for (path, id) in files {
        let path = folder.path.join(path);
        let whole = std::fs::read(&path).unwrap();
        let id_at = whole.windows(id.len()).position(|window| window == id).unwrap();
        let headers = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
        for round in 0..300 {
            let mut damaged = whole.clone();
            for _ in 0..1 + numbers.below(8) {
                // Half of them where it says what lies where.
                let at = match round % 4 {
                    0 => headers + numbers.below(whole.len() - headers),
                    1 => 16 + numbers.below(48),
                    _ => numbers.below(whole.len()),
                };
                damaged[at] = match numbers.below(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => numbers.below(256) as u8,
                };
            }
            damaged[id_at..id_at + id.len()].copy_from_slice(&id);
            // The library is mapped: not into the same file.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, &damaged).unwrap();
            let mut lines = Vec::new();
            if let Some(mut file) = DebugFile::open(&object, &folder.places, true) {
                file.lines(at, &mut lines);
                named += usize::from(!lines.is_empty());
                for address in (0..0x1400).step_by(61) {
                    file.lines(address, &mut lines);
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
    }
    // Most damage lies where it does no harm, or names would not be looked for at all.
    assert!(named > 300, "{named}");
}
