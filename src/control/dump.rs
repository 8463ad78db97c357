//! Dumps: a profile written to a file when live memory passes a limit, has grown by a factor, or a signal asks for it.
//!
//! Asked for by the environment, `CGOHEAP=dump=PREFIX,limit=2GiB`; see docs/dumps.md. The hook never writes a file:
//!
//! ```text
//!   hook, a sample was inserted    live >= threshold?  -> DUE = 1, futex wake              (nothing else)
//!   a goroutine, or our thread     wait() -> take, name, encode -> store() -> the next threshold
//! ```
//!
//! A Go program's goroutine does it, since only Go can name Go's addresses; in a program without Go [`start`] makes a thread.
//!
//! Files are `PREFIX.NUMBER.PID.REASON.pb.gz`, written under a hidden name in the same folder and renamed without replacing
//! anything. Numbers go on where earlier processes stopped: in a container every process has the same id. At most `keep=` files
//! of a prefix stay: the oldest go first, but never the first of this process, which the later ones are compared with.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::files::write_whole;
use crate::record::trigger::{self, Reason, prefix, rearm, wait};
use crate::sys::float::FloatGuard;
use crate::sys::lock::Lock;
use crate::tables::blocks;

/// Held while files are written and counted. Never by a hook.
static STORING: Lock<Storing> = Lock::new(Storing { first: None });
static STARTED: AtomicBool = AtomicBool::new(false);

struct Storing {
    /// Number of the first dump of this process.
    first: Option<u64>,
}

/// What the environment says of dumps: whether there are thresholds, and the signal's number. `None`: no dumps. Says on stderr
/// when the folder isn't there or can't be written to: at the start, when it can still be mended. Context: outside hooks.
pub fn settings() -> Option<(bool, i32)> {
    let prefix = prefix()?;
    let (folder, _) = folder_and_stem(Path::new(prefix));
    if let Err(error) = check_folder(&folder) {
        report(&format!(
            "cgoheap: CGOHEAP: dump={}: no dump can be written to {}: {error}",
            prefix.to_string_lossy(),
            folder.display()
        ));
    }
    Some((trigger::has_thresholds(), trigger::signal()))
}

fn check_folder(folder: &Path) -> io::Result<()> {
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(io::Error::new(ErrorKind::NotADirectory, "not a folder"));
    }
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: a zero-terminated path.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A prefix that is a folder means files named `cgoheap.` in it.
fn folder_and_stem(prefix: &Path) -> (PathBuf, OsString) {
    if !prefix.is_dir()
        && let (Some(parent), Some(stem)) = (prefix.parent(), prefix.file_name())
    {
        let folder = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        return (folder.to_owned(), stem.to_owned());
    }
    (prefix.to_owned(), "cgoheap".into())
}

/// Starts the thread that dumps by `limit=` and `grow=` in a program without Go: they are settings of the environment variable
/// `CGOHEAP`, which docs/dumps.md describes. False when neither is asked for, or when it runs already. The child of a fork has
/// no such thread, and may start its own. From any thread. Context: outside hooks.
///
/// # Errors
/// When the system makes no thread.
pub fn start() -> io::Result<bool> {
    crate::record::settings::read_environment_once();
    let Some((true, _)) = settings() else {
        return Ok(false);
    };
    if STARTED.swap(true, Relaxed) {
        return Ok(false);
    }
    // A new thread has its maker's mask: no signal of the program's is to be handled in ours.
    // SAFETY: plain signal sets, filled by libc; the old mask is put back.
    let old = unsafe {
        let (mut all, mut old) = (core::mem::zeroed(), core::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    // libc's thread: one of the standard library's would add 48 bytes to the thread-local storage of every thread.
    // SAFETY: `run` has the type asked for and takes nothing; the thread is detached, so nobody waits for it.
    let made = unsafe {
        let mut thread = core::mem::zeroed();
        let error = libc::pthread_create(&mut thread, core::ptr::null(), run, core::ptr::null_mut());
        if error == 0 {
            libc::pthread_setname_np(thread, c"cgoheap-dump".as_ptr());
            libc::pthread_detach(thread);
        }
        error
    };
    // SAFETY: the mask from above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, core::ptr::null_mut()) };
    if made != 0 {
        STARTED.store(false, Relaxed);
        return Err(io::Error::from_raw_os_error(made));
    }
    Ok(true)
}

/// The thread that [`start`] starts: writes a dump whenever one is due. A bug of ours ends it, not the program.
extern "C" fn run(_: *mut c_void) -> *mut c_void {
    let _guard = crate::sys::guard::Guard::enter();
    let _float = FloatGuard::enter(); // a new thread has its maker's environment
    let _ = std::panic::catch_unwind(|| {
        loop {
            let reason = wait();
            match super::write::encode_now() {
                Ok(bytes) => store(&bytes, reason).map_or((), drop),
                Err(error) => {
                    report(&format!("cgoheap: no dump: {error}"));
                    rearm(reason);
                }
            }
        }
    });
    core::ptr::null_mut()
}

/// Writes a profile to the next file, removes old ones, sets the next threshold, and says on stderr what it did. Context:
/// outside hooks.
///
/// # Errors
/// What the file system says, or that no dumps are asked for.
pub fn store(profile: &[u8], reason: Reason) -> io::Result<PathBuf> {
    let prefix = prefix().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "CGOHEAP asks for no dumps"))?;
    let (folder, stem) = folder_and_stem(Path::new(prefix));
    let stored = {
        let mut storing = STORING.lock();
        let stored = write_next(&folder, &stem, profile, reason);
        if let Ok((number, _)) = stored {
            let first = *storing.first.get_or_insert(number);
            remove_old(&folder, &stem, trigger::keep(), first);
        }
        stored.map(|(_, path)| path)
    };
    let live = blocks::live_bytes();
    match &stored {
        Ok(path) => report(&format!(
            "cgoheap: dump ({}): {live} bytes of C memory are live: wrote {}",
            reason.name(),
            path.display()
        )),
        Err(error) => report(&format!(
            "cgoheap: no dump ({}): writing to {}: {error}",
            reason.name(),
            folder.display()
        )),
    }
    rearm(reason);
    stored
}

/// In a forked child: the thread and the dump that it was at are the parent's. The child may start a thread of its own, for
/// which the next threshold counts.
///
/// # Safety
/// No other thread is in this process, and this one is not in [`store`].
pub unsafe fn reset_in_child() {
    // SAFETY: passed on to the caller.
    unsafe { STORING.replace_in_child(Storing { first: None }) };
    STORING.lock().first = None;
    if STARTED.swap(false, Relaxed) {
        let _float = FloatGuard::enter();
        trigger::reset_in_child();
    }
}

/// To stderr, as far as it takes it at once.
fn report(text: &str) {
    crate::sys::stderr::warn(&[text.as_bytes(), b"\n"]);
}

/// Number, process and reason in a name of ours.
fn file_name(stem: &OsStr, number: u64, reason: Reason) -> OsString {
    let mut name = stem.to_owned();
    name.push(format!(".{number:04}.{}.{}.pb.gz", std::process::id(), reason.name()));
    name
}

/// The number in a name that [`file_name`] makes, of any process.
fn number_of(stem: &OsStr, name: &OsStr) -> Option<u64> {
    let rest = name.as_bytes().strip_prefix(stem.as_bytes())?.strip_prefix(b".")?;
    let rest = core::str::from_utf8(rest.strip_suffix(b".pb.gz")?).ok()?;
    let [number, pid, reason]: [&str; 3] = rest.split('.').collect::<Vec<_>>().try_into().ok()?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let known = Reason::ALL.iter().any(|known| known.name() == reason);
    (digits(number) && digits(pid) && known).then(|| number.parse().ok())?
}

/// Our files in the folder, by number.
fn files(folder: &Path, stem: &OsStr) -> io::Result<Vec<(u64, OsString)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        files.extend(number_of(stem, &name).map(|number| (number, name)));
    }
    files.sort_unstable();
    Ok(files)
}

fn write_next(folder: &Path, stem: &OsStr, profile: &[u8], reason: Reason) -> io::Result<(u64, PathBuf)> {
    let mut number = files(folder, stem)?
        .last()
        .map_or(1, |(number, _)| number.saturating_add(1));
    loop {
        let path = folder.join(file_name(stem, number, reason));
        match write_whole(&path, profile, false) {
            // Another process with our prefix was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && number < u64::MAX => number += 1,
            Err(error) => return Err(error),
            Ok(()) => return Ok((number, path)),
        }
    }
}

/// Removes the oldest files beyond `keep`. A file that can't be removed stays; the next dump tries again.
fn remove_old(folder: &Path, stem: &OsStr, keep: usize, first: u64) {
    let Ok(mut files) = files(folder, stem) else {
        return;
    };
    let mut excess = files.len().saturating_sub(keep.max(1));
    files.retain(|(number, _)| *number != first || keep < 2);
    for (_, name) in files {
        if excess == 0 {
            return;
        }
        if std::fs::remove_file(folder.join(name)).is_ok() {
            excess -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("cgoheap-dump-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn names_are_recognised_and_others_left_alone() {
        let stem = OsStr::new("shop.x");
        let name = file_name(stem, 7, Reason::Grow);
        assert_eq!(number_of(stem, &name), Some(7));
        for other in [
            "shop.x.7.1.grow.pb",
            "shop.x.7.1.other.pb.gz",
            "shop.x.7.grow.pb.gz",
            "shop.x.+7.1.grow.pb.gz",
            "shop.x..1.grow.pb.gz",
            "shop.y.7.1.grow.pb.gz",
            ".shop.x.7.1.grow.pb.gz.1.0.tmp",
            "shop.x.7.1.2.grow.pb.gz",
        ] {
            assert_eq!(number_of(stem, OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn numbers_go_on_and_the_first_of_this_process_stays() {
        let folder = Folder::new("numbers");
        let stem = OsStr::new("p");
        std::fs::write(folder.0.join("p.0041.1.limit.pb.gz"), b"earlier").unwrap();
        std::fs::write(folder.0.join("p.note"), b"mine").unwrap();
        let mut numbers = Vec::new();
        for _ in 0..5 {
            let (number, _) = write_next(&folder.0, stem, b"x", Reason::Grow).unwrap();
            numbers.push(number);
            remove_old(&folder.0, stem, 3, 42);
        }
        assert_eq!(numbers, [42, 43, 44, 45, 46]);
        let left: Vec<u64> = files(&folder.0, stem)
            .unwrap()
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(left, [42, 45, 46]);
        assert!(folder.names().contains(&"p.note".to_owned()));
    }

    #[test]
    fn a_file_is_there_as_a_whole_for_its_owner_only_and_follows_no_link() {
        let folder = Folder::new("whole");
        let (target, link) = (folder.0.join("target"), folder.0.join("link"));
        std::fs::write(&target, b"precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(
            write_whole(&link, b"new", false).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(folder.names(), ["link", "target"], "the hidden file stays behind");
        write_whole(&link, b"new", true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        let data = std::fs::symlink_metadata(&link).unwrap();
        assert!(data.is_file());
        assert_eq!(data.mode() & 0o777, 0o600);
        assert!(write_whole(&folder.0.join("no/such"), b"", true).is_err());
    }

    #[test]
    fn a_folder_or_the_beginning_of_a_name() {
        let folder = Folder::new("prefix");
        assert_eq!(folder_and_stem(&folder.0), (folder.0.clone(), "cgoheap".into()));
        assert_eq!(
            folder_and_stem(&folder.0.join("shop")),
            (folder.0.clone(), "shop".into())
        );
        assert_eq!(folder_and_stem(Path::new("shop")), (".".into(), "shop".into()));
        assert!(check_folder(&folder.0).is_ok());
        assert!(check_folder(&folder.0.join("missing")).is_err());
    }
}
