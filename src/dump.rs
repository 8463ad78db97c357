//! Dumps: a profile written to a file when live memory passes a limit, has grown by a factor, or a signal asks for it.
//!
//! Asked for by the environment, `CGOHEAP=dump=PREFIX,limit=2GiB`; see docs/dumps.md. The hook never writes a file:
//!
//! ```text
//!   hook, a sample was entered     live >= THRESHOLD?  -> DUE = 1, futex wake              (nothing else)
//!   a goroutine, or our thread     wait() -> take, name, encode -> store() -> THRESHOLD = the next one
//! ```
//!
//! A Go program's goroutine does it, since only Go can name Go's addresses; in a program without Go [`start`] makes a thread.
//!
//! Files are `PREFIX.NUMBER.PID.REASON.pb.gz`, written under a hidden name in the same folder and renamed without replacing
//! anything. Numbers go on where earlier processes stopped: in a container every process has the same id. At most `keep=` files
//! of a prefix stay: the oldest go first, but never the first of this process, which the later ones are compared with.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::live_table;
use crate::sync::Lock;
use crate::sys::{errno::ErrnoGuard, float::FloatGuard};

/// Why a dump is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Reason {
    /// Live memory has passed `limit=`.
    Limit = 0,
    /// It has grown by the factor since the last dump.
    Grow = 1,
    /// The signal came.
    Signal = 2,
}

impl Reason {
    const ALL: [Reason; 3] = [Reason::Limit, Reason::Grow, Reason::Signal];

    fn name(self) -> &'static str {
        match self {
            Reason::Limit => "limit",
            Reason::Grow => "grow",
            Reason::Signal => "signal",
        }
    }

    /// The reason with this number.
    pub fn from_number(number: i32) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| *reason as i32 == number)
    }
}

/// What the environment asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Asked<'a> {
    /// `dump=`: what file names begin with, or a folder.
    pub prefix: Option<&'a [u8]>,
    /// `limit=`: bytes.
    pub limit: Option<u64>,
    /// `grow=`: a factor.
    pub grow: Option<f64>,
    /// `signal=`: its number.
    pub signal: Option<i32>,
    /// `keep=`: files.
    pub keep: Option<u32>,
}

/// The longest prefix.
pub const MAX_PREFIX: usize = 1024;
/// Without `grow=`, the factor after the limit was passed.
const DEFAULT_GROWTH: f64 = 1.25;
/// Without `limit=`, growth counts from at least this many live bytes: what a program starts with is no news.
const LEAST_BASE: u64 = 32 << 20;
const DEFAULT_KEEP: u32 = 16;

struct Prefix(UnsafeCell<[u8; MAX_PREFIX]>);
// SAFETY: written once, before PREFIX_LENGTH is set, and only read after that.
unsafe impl Sync for Prefix {}

/// A copy: the environment may be written over.
static PREFIX: Prefix = Prefix(UnsafeCell::new([0; MAX_PREFIX]));
/// 0: no dumps. All of these are atomic because the first allocation, in any thread, sets them.
static PREFIX_LENGTH: AtomicUsize = AtomicUsize::new(0);
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static KEEP: AtomicU32 = AtomicU32::new(DEFAULT_KEEP);
/// Bits of an f64; 0: neither `limit=` nor `grow=`.
static GROWTH: AtomicU64 = AtomicU64::new(0);
/// Whether the next threshold is the limit.
static LIMIT_NEXT: AtomicBool = AtomicBool::new(false);
/// Live bytes at which the next dump is due; read by every sample.
static THRESHOLD: AtomicU64 = AtomicU64::new(u64::MAX);
/// Live bytes when the last threshold was passed: growth counts from there.
static PASSED_AT: AtomicU64 = AtomicU64::new(0);
/// 1: a dump is due. What [`wait`] sleeps on.
static DUE: AtomicU32 = AtomicU32::new(0);
/// Held while files are written and counted. Never by a hook.
static STORING: Lock<Storing> = Lock::new(Storing { first: None });
static STARTED: AtomicBool = AtomicBool::new(false);

struct Storing {
    /// Number of the first dump of this process.
    first: Option<u64>,
}

/// Takes over what the environment asks for, if it asks for dumps at all. Once. Context: hook.
pub fn configure(asked: &Asked) {
    let Some(prefix) = asked.prefix.filter(|prefix| prefix.len() <= MAX_PREFIX) else {
        return;
    };
    // SAFETY: called once, and nobody reads before the length is set.
    let room = unsafe { &mut *PREFIX.0.get() };
    room.iter_mut().zip(prefix).for_each(|(to, from)| *to = *from);
    SIGNAL.store(asked.signal.unwrap_or(0), Relaxed);
    KEEP.store(asked.keep.unwrap_or(DEFAULT_KEEP), Relaxed);
    if asked.limit.is_some() || asked.grow.is_some() {
        let factor = asked.grow.unwrap_or(DEFAULT_GROWTH);
        GROWTH.store(factor.to_bits(), Relaxed);
        LIMIT_NEXT.store(asked.limit.is_some(), Relaxed);
        THRESHOLD.store(asked.limit.unwrap_or((LEAST_BASE as f64 * factor) as u64), Relaxed);
    }
    PREFIX_LENGTH.store(prefix.len(), Release);
}

/// Live memory is `live_bytes` after a sample was entered: wakes whoever writes. Context: hook.
#[inline]
pub fn consider(live_bytes: u64) {
    if live_bytes >= THRESHOLD.load(Relaxed) {
        due(live_bytes);
    }
}

#[cold]
fn due(live_bytes: u64) {
    // Whoever takes the threshold away wakes; the writer sets the next one.
    if THRESHOLD.swap(u64::MAX, AcqRel) == u64::MAX {
        return;
    }
    PASSED_AT.store(live_bytes, Relaxed);
    DUE.store(1, Release);
    let _errno = ErrnoGuard::save();
    // SAFETY: wakes waiters on a word that is always there.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            DUE.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}

/// Blocks the calling thread until a dump is due, and says why. One thread at a time. Context: control.
pub fn wait() -> Reason {
    while DUE.swap(0, AcqRel) == 0 {
        // SAFETY: waits on a word that is always there; no timeout.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                DUE.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                0,
                core::ptr::null::<libc::timespec>(),
            )
        };
    }
    match LIMIT_NEXT.swap(false, Relaxed) {
        true => Reason::Limit,
        false => Reason::Grow,
    }
}

/// The prefix, when dumps are asked for. Context: control.
fn prefix() -> Option<&'static OsStr> {
    let length = PREFIX_LENGTH.load(Acquire);
    // SAFETY: once the length is set nobody writes.
    let bytes = unsafe { &*PREFIX.0.get() }.get(..length)?;
    (length != 0).then(|| OsStr::from_bytes(bytes))
}

/// What is asked for: whether thresholds are, and the signal's number. `None`: no dumps. Says on stderr when the folder isn't
/// there or can't be written to: at the start, since later somebody will rely on it. Context: control.
pub fn asked() -> Option<(bool, i32)> {
    let prefix = prefix()?;
    let (folder, _) = folder_and_stem(Path::new(prefix));
    if let Err(error) = check_folder(&folder) {
        say(&format!(
            "cgoheap: CGOHEAP: dump={}: no dump can be written to {}: {error}",
            prefix.to_string_lossy(),
            folder.display()
        ));
    }
    Some((GROWTH.load(Relaxed) != 0, SIGNAL.load(Relaxed)))
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

/// Starts the thread that obeys `limit=` and `grow=` in a program without Go. False when neither is asked for, or when it runs
/// already. Context: control.
///
/// # Errors
/// When the system makes no thread.
pub fn start() -> io::Result<bool> {
    crate::control::read_environment_once();
    let Some((true, _)) = asked() else {
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
    // SAFETY: `obey` has the type asked for and takes nothing; the thread is detached, so nobody waits for it.
    let made = unsafe {
        let mut thread = core::mem::zeroed();
        let error = libc::pthread_create(&mut thread, core::ptr::null(), obey, core::ptr::null_mut());
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
extern "C" fn obey(_: *mut c_void) -> *mut c_void {
    let _guard = crate::hook::guard::Guard::enter();
    let _float = FloatGuard::enter(); // a new thread has its maker's environment
    let _ = std::panic::catch_unwind(|| {
        loop {
            let reason = wait();
            match crate::encode_now() {
                Ok(bytes) => store(&bytes, reason).map_or((), drop),
                Err(error) => {
                    say(&format!("cgoheap: no dump: {error}"));
                    skip(reason);
                }
            }
        }
    });
    core::ptr::null_mut()
}

/// Writes a profile to the next file, removes old ones, sets the next threshold, and says on stderr what it did. Context:
/// control.
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
            remove_old(&folder, &stem, KEEP.load(Relaxed) as usize, first);
        }
        stored.map(|(_, path)| path)
    };
    let live = live_table::live_bytes();
    match &stored {
        Ok(path) => say(&format!(
            "cgoheap: dump ({}): {live} bytes of C memory are live: wrote {}",
            reason.name(),
            path.display()
        )),
        Err(error) => say(&format!(
            "cgoheap: no dump ({}): writing to {}: {error}",
            reason.name(),
            folder.display()
        )),
    }
    skip(reason);
    stored
}

/// Sets the next threshold, as after a dump. Context: control.
pub fn skip(reason: Reason) {
    if reason != Reason::Signal {
        let next = PASSED_AT.load(Relaxed) as f64 * f64::from_bits(GROWTH.load(Relaxed));
        THRESHOLD.store((next as u64).max(1), Release);
        // It may have been passed while the profile was being made.
        consider(live_table::live_bytes());
    }
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
    if STARTED.swap(false, Relaxed) && THRESHOLD.load(Relaxed) == u64::MAX {
        let _float = FloatGuard::enter();
        DUE.store(0, Relaxed);
        LIMIT_NEXT.store(false, Relaxed);
        skip(Reason::Grow);
    }
}

/// To stderr, as far as it takes it at once.
fn say(text: &str) {
    crate::control::warn(&[text.as_bytes(), b"\n"]);
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

/// What can't be removed stays: next time, or by somebody else.
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

/// Writes a file as a whole or not at all: under a hidden name in the same folder, then renamed. Mode 0600. With `replace` a
/// file of that name, or a symbolic link, makes way. Context: control.
///
/// # Errors
/// What the file system says; without `replace`, [`ErrorKind::AlreadyExists`].
pub fn write_whole(path: &Path, contents: &[u8], replace: bool) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no file"))?;
    let (temporary, mut file) = loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Relaxed)));
        let temporary = path.with_file_name(hidden);
        // O_EXCL follows no link and takes nobody's file; O_NOFOLLOW says so once more.
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_NOFOLLOW)
            .mode(0o600)
            .open(&temporary);
        match file {
            Ok(file) => break (temporary, file),
            // Left by a process that had our number and ended while it wrote. Not ours to remove: it may be alive in another
            // container.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && NEXT.load(Relaxed) < 10_000 => {}
            Err(error) => return Err(error),
        }
    };
    let done = file
        .write_all(contents)
        .and_then(|()| rename(&temporary, path, replace));
    if done.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    done
}

fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return std::fs::rename(from, to);
    }
    let [old, new] = [from, to].map(|path| CString::new(path.as_os_str().to_owned().into_vec()));
    let (old, new) = (old?, new?);
    // SAFETY: zero-terminated paths.
    let result = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            old.as_ptr(),
            libc::AT_FDCWD,
            new.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system without this kind of rename.
        Some(libc::EINVAL | libc::ENOSYS) if std::fs::symlink_metadata(to).is_err() => std::fs::rename(from, to),
        _ => Err(error),
    }
}

/// Whether something other than a file is there, to be written to as it is: a device, a pipe, `/dev/stdout`.
pub(crate) fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.mode() & libc::S_IFMT != libc::S_IFREG && !data.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

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
