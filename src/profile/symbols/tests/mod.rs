//! Names of libraries that are made here and loaded into the test.

mod apart;

use super::*;
use std::ffi::{CStr, CString};
use std::path::Path;
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

fn build_id(path: &Path) -> Vec<u8> {
    identity::open(path).unwrap().build_id()
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
            build_id: build_id(path),
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
fn a_file_that_has_taken_the_librarys_name_names_nothing() {
    for build_id in [false, true] {
        let (library, object) = library(&format!("upgraded{build_id}"), build_id);
        let object = object_with_id(&object, 150 + u16::from(build_id));
        // As a package manager does it: a file beside it, renamed. The same contents, but for the build id, would do.
        let new = format!("{}.new", object.path);
        let status = Command::new("objcopy")
            .args(["--remove-section=.note.gnu.build-id", &object.path, &new])
            .status();
        assert!(status.expect("this test needs objcopy").success());
        std::fs::rename(new, &object.path).unwrap();
        let frame = Frame::new(library.probe(), object.id);
        assert!(resolve(frame, Some(&object)).is_empty(), "{build_id}");
    }
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
