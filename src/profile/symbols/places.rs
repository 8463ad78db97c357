//! Where debug information may lie apart from the object that it is about, in the order in which gdb looks.
//!
//! ```text
//!   build id        /usr/lib/debug/.build-id/ab/cdef0123.debug
//!   .gnu_debuglink  NAME beside the object, in .debug/ beside it, below /usr/lib/debug/ with the object's whole folder
//!   a cache         CACHE/abcdef0123/debuginfo, which debuginfod-find and gdb fill; nothing is fetched
//! ```
//!
//! And the alternate file that several share (`dwz -m`, `.gnu_debugaltlink`): the name that is given, if relative seen from the
//! folder of the file that names it; then as above by its build id.
//!
//! These are places only. Whether a file is the right one is asked by whoever opens it.
//!
//! gdb's manual, "Separate Debug Files"; debuginfod_find_debuginfo(3), "CACHE".
//!
//! Context: outside hooks.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::sys::environment;

/// Folders to look in.
pub(super) struct Places {
    /// gdb's `debug-file-directory`.
    pub(super) debug: PathBuf,
    /// debuginfod's caches.
    pub(super) caches: Vec<PathBuf>,
}

impl Places {
    /// Those of this process.
    pub(super) fn of_process() -> Places {
        let variable = |name| {
            let value = environment::variable(name)?;
            (!value.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(value)))
        };
        let below = |home: Option<PathBuf>, folder: &str| home.map(|home| home.join(folder));
        let caches = match variable(c"DEBUGINFOD_CACHE_PATH") {
            Some(path) => vec![path],
            None => [
                below(variable(c"HOME"), ".debuginfod_client_cache"), // the older one, where it exists
                below(variable(c"XDG_CACHE_HOME"), "debuginfod_client"),
                below(variable(c"HOME"), ".cache/debuginfod_client"),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        Places {
            debug: "/usr/lib/debug".into(),
            caches,
        }
    }

    /// The file with debug information that has this build id.
    pub(super) fn by_build_id(&self, build_id: &[u8]) -> Option<PathBuf> {
        let [first, rest @ ..] = build_id else { return None };
        (!rest.is_empty()).then(|| {
            self.debug
                .join(".build-id")
                .join(hex(&[*first]))
                .join(hex(rest) + ".debug")
        })
    }

    /// The same in the caches.
    pub(super) fn cached(&self, build_id: &[u8]) -> Vec<PathBuf> {
        if build_id.len() < 2 {
            return Vec::new();
        }
        let in_cache = |cache: &PathBuf| cache.join(hex(build_id)).join("debuginfo");
        self.caches.iter().map(in_cache).collect()
    }

    /// Where a debug link of the object at `path` may lead: beside it, and beside the file that it is a symbolic link to.
    pub(super) fn by_link(&self, path: &Path, link: &[u8]) -> Vec<PathBuf> {
        let link = Path::new(OsStr::from_bytes(link));
        // A file's name, says the format; anything else leads out of the folders.
        if !matches!(link.components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
            return Vec::new();
        }
        let mut out = Vec::new();
        let real = std::fs::canonicalize(path).ok().filter(|real| real != path);
        for folder in [Some(path), real.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(Path::parent)
        {
            out.push(folder.join(link));
            out.push(folder.join(".debug").join(link));
            if let Ok(below_root) = folder.strip_prefix("/") {
                out.push(self.debug.join(below_root).join(link));
            }
        }
        out
    }

    /// Where the alternate file may be that the file at `path` names.
    pub(super) fn alternate(&self, path: &Path, name: &[u8], build_id: &[u8]) -> Vec<PathBuf> {
        let name = Path::new(OsStr::from_bytes(name));
        let mut out = Vec::new();
        let real = std::fs::canonicalize(path).ok().filter(|real| real != path);
        for folder in [Some(path), real.as_deref()]
            .into_iter()
            .flatten()
            .filter_map(Path::parent)
        {
            out.push(folder.join(name)); // an absolute one stays as it is
        }
        out.extend(self.by_build_id(build_id));
        if let Some(file) = name.file_name() {
            out.push(self.debug.join(".dwz").join(file));
        }
        out.extend(self.cached(build_id));
        out
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_gdb_in_its_order() {
        let places = Places {
            debug: "/d".into(),
            caches: vec!["/c".into()],
        };
        let id = [0xab, 0xcd, 0x01];
        assert_eq!(places.by_build_id(&id), Some("/d/.build-id/ab/cd01.debug".into()));
        assert_eq!(places.by_build_id(&id[..1]), None);
        assert_eq!(places.cached(&id), [PathBuf::from("/c/abcd01/debuginfo")]);
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            places.by_link(Path::new("/no/such/x.so"), b"x.debug"),
            paths(&["/no/such/x.debug", "/no/such/.debug/x.debug", "/d/no/such/x.debug"])
        );
        for outside in [&b"../x"[..], b"/x", b"a/x", b"", b".."] {
            assert!(places.by_link(Path::new("/no/such/x.so"), outside).is_empty());
        }
        assert_eq!(
            places.alternate(Path::new("/no/such/x.debug"), b"../common", &id),
            paths(&[
                "/no/such/../common",
                "/d/.build-id/ab/cd01.debug",
                "/d/.dwz/common",
                "/c/abcd01/debuginfo"
            ])
        );
    }
}
