//! Names of C, C++ and Rust addresses in this process, out of the files that its objects were loaded from.
//!
//! Each file is opened where its frames ask for it and let go with the next one, so at any time the debug information
//! of one object is in memory, and none between two profiles. What was found stays in a cache, which grows with the
//! distinct frames of sampled stacks: the next profile opens only the files that have new ones.
//!
//! Why not `backtrace::resolve`, which does the same in one call: it lists the loaded objects at its first use and
//! never again (`clear_symbol_cache` doesn't change that), so that a library opened later has no names, and an address where a
//! closed library was has the names of what was there before; and it keeps the parsed files. This is the crate that it is made
//! of, given the file and the bias that the snapshot recorded. tests/unwind.rs holds the names, and the walk, against those of
//! `backtrace` for a program whose objects stay the same.
//!
//! An object that has been closed, or a file that was replaced by a deployment, may still be named: the build id says
//! whether the file is the one that ran. Without a build id only an object that is still loaded is trusted.
//!
//! Context: outside hooks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::Loader;
use object::Object as _;

mod name;

use super::{Line, Symbolizer};
use crate::sys::lock::Lock;
use crate::sys::process;
use crate::tables::frame::{Frame, ObjectId};
use crate::tables::objects::Object;

/// Protects what is known of frames so far, an empty slice for a frame that its file doesn't name. Held for a look or
/// an insertion, never while a file is read. Object ids are never reused, so an entry stays true for ever.
static KNOWN: Lock<BTreeMap<Frame, Arc<[Line]>>> = Lock::new(BTreeMap::new());

/// In a forked child: what a thread of the parent was changing at that moment is left alone, and begun anew.
///
/// (The fork doesn't wait for it, as it does for the tables' locks: a thread that holds it may allocate, and wait for a lock of
/// the allocator's that the fork has taken before.)
///
/// # Safety
/// No other thread is in this process, and this one is not in the map.
pub unsafe fn reset_in_child() {
    // SAFETY: passed on to the caller.
    unsafe { KNOWN.replace_in_child(BTreeMap::new()) }
}

/// Names addresses of this process. Make one for each profile; several threads may do so at the same time.
#[derive(Default)]
pub struct ProcessSymbols {
    /// The object asked for last and its file, `None` when it can't be had.
    open: Option<(ObjectId, Option<Loader>)>,
}

impl ProcessSymbols {
    /// A symbolizer that has no file open.
    pub fn new() -> ProcessSymbols {
        ProcessSymbols::default()
    }

    fn loader(&mut self, object: &Object) -> Option<&Loader> {
        if self.open.as_ref().is_none_or(|(id, _)| *id != object.id) {
            // First out, then in: never two of them in memory.
            self.open = None;
            self.open = Some((object.id, load(object)));
        }
        self.open.as_ref()?.1.as_ref()
    }
}

impl Symbolizer for ProcessSymbols {
    fn resolve(&mut self, frame: Frame, object: Option<&Object>, out: &mut Vec<Line>) {
        if let Some(lines) = KNOWN.lock().get(&frame) {
            out.extend_from_slice(lines);
            return;
        }
        let Some(object) = object else { return };
        let Some(loader) = self.loader(object) else {
            return;
        };
        lines_at(loader, frame.call_address().wrapping_sub(object.load_bias), out);
        KNOWN.lock().insert(frame, out.as_slice().into());
    }
}

/// The lines at an address of the file's own address space, innermost first.
fn lines_at(loader: &Loader, address: u64, out: &mut Vec<Line>) {
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.as_ref().and_then(|function| function.raw_name().ok());
            let function = function.unwrap_or_default();
            let location = frame.location;
            out.push(Line {
                function: name::demangle(&function),
                system_name: name::cut(&function),
                file: name::cut(location.as_ref().and_then(|at| at.file).unwrap_or_default()),
                line: location.and_then(|at| at.line).unwrap_or(0),
                ..Line::default()
            });
        }
    }
    // The symbol table knows the function that the address physically lies in, which assembly and objects without
    // debug information have no other name for, and brief debug information (`-g1`, Rust's line-tables-only) only a short one.
    if let Some(symbol) = loader.find_symbol(address) {
        if out.is_empty() {
            out.push(Line::default());
        }
        let better = |line: &&mut Line| {
            line.system_name.is_empty() || (name::is_mangled(symbol) && !name::is_mangled(&line.system_name))
        };
        if let Some(outermost) = out.last_mut().filter(better) {
            outermost.system_name = name::cut(symbol);
            outermost.function = name::demangle(symbol);
        }
    }
    out.retain(|line| !line.system_name.is_empty());
}

/// The object's file, if it can be had and is the one that ran.
fn load(object: &Object) -> Option<Loader> {
    let trusted_unseen = object.build_id.is_empty() && object.loaded;
    let is_same = |path: &PathBuf| match build_id(path) {
        Some(build_id) => build_id == object.build_id || trusted_unseen,
        None => trusted_unseen,
    };
    files(object)
        .into_iter()
        .filter(is_same)
        .find_map(|path| Loader::new(path).ok())
}

/// Where the names may be, best first.
fn files(object: &Object) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // Debug information that a distribution ships apart from the library.
    if let [first, rest @ ..] = object.build_id.as_slice()
        && !rest.is_empty()
    {
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        files.push(format!("/usr/lib/debug/.build-id/{first:02x}/{rest}.debug").into());
    }
    // The program's link leads to the file that runs, even after another one has taken its name.
    let program = OsStr::from_bytes(process::PROGRAM_FILE.to_bytes());
    if std::fs::read_link(program).is_ok_and(|path| path == Path::new(&object.path)) {
        files.push(program.into());
    } else if object.path.contains('/') {
        // Not the kernel's own linux-vdso.so.1, for which there is no file.
        files.push(object.path.clone().into());
    }
    files
}

fn build_id(path: &Path) -> Option<Vec<u8>> {
    // Reads the few parts of the file that it needs.
    let file = object::ReadCache::new(File::open(path).ok()?);
    let build_id = object::File::parse(&file).ok()?.build_id().ok()??.to_vec();
    Some(build_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{CStr, CString};
    use std::process::Command;

    /// Makes a shared library that returns the address after a call made in an inlined function, and loads it.
    fn library(name: &str, build_id: bool) -> (Library, Object) {
        let folder = std::env::temp_dir().join(format!("cgoheap-symbolize-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (source, path) = (folder.join(format!("{name}.cc")), folder.join(format!("{name}.so")));
        std::fs::write(
            &source,
            "static void *__attribute__((noinline)) after() { return __builtin_return_address(0); }\n\
             namespace depot {\n\
             inline void *__attribute__((always_inline)) inner(int) {\n\
             void *volatile at = after();\n\
             return at; }\n\
             template <class T> void *__attribute__((noinline)) outer(T x) {\n\
             void *volatile at = inner(x);\n\
             return at; }\n\
             }\n\
             extern \"C\" void *probe() { return depot::outer<int>(1); }\n",
        )
        .unwrap();
        let status = Command::new("c++")
            .args(["-shared", "-fPIC", "-O1", "-g", "-o"])
            .args([&path, &source])
            .arg(if build_id {
                "-Wl,--build-id"
            } else {
                "-Wl,--build-id=none"
            })
            .status()
            .expect("these tests need a C++ compiler named c++");
        assert!(status.success());
        Library::open(&path)
    }

    struct Library(*mut libc::c_void);

    impl Library {
        fn open(path: &Path) -> (Library, Object) {
            let name = CString::new(path.to_str().unwrap()).unwrap();
            // SAFETY: a library that this test made; it has no constructors.
            let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
            assert!(!handle.is_null());
            let library = Library(handle);
            // SAFETY: all zeros is a valid value of this struct of pointers.
            let mut info: libc::Dl_info = unsafe { core::mem::zeroed() };
            let probe = library.symbol(c"probe");
            // SAFETY: `info` is ours; any address may be asked for.
            let found = unsafe { libc::dladdr(probe, &mut info) };
            assert_ne!(found, 0);
            let bias = info.dli_fbase as u64;
            let object = Object {
                id: ObjectId(1),
                start: bias,
                limit: bias + 0x10000,
                file_offset: 0,
                load_bias: bias,
                path: path.to_str().unwrap().to_owned(),
                build_id: build_id(path).unwrap_or_default(),
                loaded: true,
            };
            (library, object)
        }

        fn symbol(&self, name: &CStr) -> *mut libc::c_void {
            // SAFETY: the handle is open until drop.
            unsafe { libc::dlsym(self.0, name.as_ptr()) }
        }

        fn probe(&self) -> u64 {
            // SAFETY: the type of `probe` in the source above.
            let probe: extern "C" fn() -> u64 = unsafe { core::mem::transmute(self.symbol(c"probe")) };
            probe()
        }
    }

    impl Drop for Library {
        fn drop(&mut self) {
            // SAFETY: opened by us, and nothing of it is used afterwards.
            unsafe { libc::dlclose(self.0) };
        }
    }

    fn resolve(frame: Frame, object: Option<&Object>) -> Vec<Line> {
        let mut out = Vec::new();
        ProcessSymbols::new().resolve(frame, object, &mut out);
        out
    }

    /// The cache is one for the process and by object id, so each test has ids of its own.
    fn object_with_id(object: &Object, id: u16) -> Object {
        Object {
            id: ObjectId(id),
            ..object.clone()
        }
    }

    #[test]
    fn a_library_opened_late_is_named_with_its_inlined_functions_innermost_first() {
        // What was opened first must not be all that is ever seen.
        let (early, object) = library("early", true);
        let object = object_with_id(&object, 100);
        assert!(!resolve(Frame::new(early.probe(), object.id), Some(&object)).is_empty());

        let (library, object) = library("late", true);
        let object = object_with_id(&object, 101);
        let lines = resolve(Frame::new(library.probe(), object.id), Some(&object));
        let shown: Vec<_> = lines.iter().map(|l| (l.function.as_str(), l.line)).collect();
        assert_eq!(shown, [("depot::inner(int)", 4), ("void* depot::outer<int>(int)", 7)]);
        assert!(lines.iter().all(|line| line.file.ends_with("/late.cc")), "{lines:?}");
        assert_eq!(lines[1].system_name, "_ZN5depot5outerIiEEPvT_");
    }

    #[test]
    fn a_closed_library_is_named_by_the_file_with_its_build_id_or_from_the_cache() {
        let (library, object) = library("closed", true);
        let at = library.probe();
        drop(library);
        let closed = |id| Object {
            loaded: false,
            ..object_with_id(&object, id)
        };
        assert_eq!(resolve(Frame::new(at, ObjectId(110)), Some(&closed(110))).len(), 2);

        let replaced = Object {
            build_id: vec![1; 20],
            ..closed(111)
        };
        assert!(resolve(Frame::new(at, ObjectId(111)), Some(&replaced)).is_empty());

        std::fs::remove_file(&object.path).unwrap();
        assert_eq!(resolve(Frame::new(at, ObjectId(110)), Some(&closed(110))).len(), 2);
        assert!(resolve(Frame::new(at, ObjectId(112)), Some(&closed(112))).is_empty());
    }

    #[test]
    fn without_a_build_id_only_a_loaded_library_is_named() {
        let (library, object) = library("anonymous", false);
        assert!(object.build_id.is_empty());
        let at = library.probe();
        let closed = Object {
            loaded: false,
            ..object_with_id(&object, 120)
        };
        assert!(resolve(Frame::new(at, ObjectId(120)), Some(&closed)).is_empty());
        let loaded = object_with_id(&object, 120);
        assert_eq!(resolve(Frame::new(at, ObjectId(120)), Some(&loaded)).len(), 2);
    }

    #[test]
    fn an_address_without_object_or_file_has_no_name() {
        assert!(resolve(Frame::new(0x1234, ObjectId::UNKNOWN), None).is_empty());
        let vdso = Object {
            id: ObjectId(130),
            start: 0x1000,
            limit: 0x2000,
            file_offset: 0,
            load_bias: 0x1000,
            path: "linux-vdso.so.1".to_owned(),
            build_id: Vec::new(),
            loaded: true,
        };
        assert!(resolve(Frame::new(0x1234, vdso.id), Some(&vdso)).is_empty());
    }

    #[test]
    fn concurrent_profiles_get_the_same_names() {
        let (library, object) = library("shared", true);
        let object = object_with_id(&object, 140);
        let frame = Frame::new(library.probe(), object.id);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| resolve(frame, Some(&object)))).collect();
            for thread in threads {
                assert_eq!(thread.join().unwrap()[0].function, "depot::inner(int)");
            }
        });
    }
}
