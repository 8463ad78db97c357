//! Which files are mapped where: /proc/self/maps.

use core::ffi::{CStr, c_int};
use core::ops::Range;
use core::ptr::null_mut;

use super::pages::PAGE;
use crate::sys::arch::system_call::system_call;

/// A file, as the kernel tells files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    /// Major and minor number of the device, in one.
    pub device: u64,
    /// Number of the file on it.
    pub inode: u64,
}

/// A line of /proc/self/maps that names a file.
#[derive(Debug, PartialEq, Eq)]
pub struct MappedFile<'a> {
    /// Where it is mapped.
    pub addresses: Range<u64>,
    /// The file; another one may have taken its name since.
    pub file: FileId,
    /// Its absolute name, followed by ` (deleted)` when that is no longer its name. (A line break is written as `\012`.)
    pub path: &'a [u8],
}

impl<'a> MappedFile<'a> {
    /// proc_pid_maps(5): `start-end rights offset major:minor inode   path`.
    fn parse(line: &'a [u8]) -> Option<MappedFile<'a>> {
        let mut rest = line;
        let mut field = |end: u8| {
            let at = rest.iter().position(|&byte| byte == end)?;
            let (field, tail) = rest.split_at(at);
            rest = tail.get(1..)?;
            core::str::from_utf8(field).ok()
        };
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let addresses = hex(field(b'-')?)?..hex(field(b' ')?)?;
        let (_rights, _offset) = (field(b' ')?, field(b' ')?);
        let device = hex(field(b':')?)? << 32 | hex(field(b' ')?)?;
        let inode = field(b' ')?.parse().ok().filter(|&inode| inode != 0)?;
        Some(MappedFile {
            addresses,
            file: FileId { device, inode },
            path: rest.trim_ascii_start(),
        })
    }
}

/// Shows every mapped file to `visit`, by address. False when the kernel doesn't say (no /proc). Context: outside hooks.
pub fn for_each(mut visit: impl FnMut(&MappedFile)) -> bool {
    let Some(maps) = Descriptor::open() else { return false };
    let mut lines = Lines::default();
    while let Some(more) = maps.read(lines.room()) {
        lines.add(more, &mut visit);
    }
    true
}

/// The file that is mapped at this address. Context: outside hooks.
pub fn at(address: u64) -> Option<FileId> {
    let mut found = None;
    for_each(|mapped| {
        if mapped.addresses.contains(&address) {
            found = Some(mapped.file);
        }
    });
    found
}

/// The file that is open, as [`at`] tells it where it is mapped: file systems that lie over others (overlayfs, btrfs) have other device
/// numbers there than fstat(2) tells. So a page of it is mapped for the question, and never looked at. Context: outside hooks.
pub fn of(descriptor: c_int) -> Option<FileId> {
    // SAFETY: a new mapping at an address of the kernel's choice, which nobody uses.
    unsafe {
        let start = libc::mmap(null_mut(), PAGE, libc::PROT_NONE, libc::MAP_PRIVATE, descriptor, 0);
        if start == libc::MAP_FAILED {
            return None;
        }
        let file = at(start as u64);
        libc::munmap(start, PAGE);
        file
    }
}

/// What stat(2) tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Device that it lies on, and its number there.
    pub device_and_inode: [u64; 2],
    /// Bytes in it.
    pub bytes: u64,
    /// When it was last written to, or changed in another way, in nanoseconds since the epoch. (The kernel counts in ticks of some
    /// milliseconds.)
    pub changed_nanos: i64,
}

/// The file at this path; `None` when there is none. Asks the kernel itself: it is called
/// before main, when a library that stands in libc's place may not be ready. Context: hook.
#[inline(never)] // its room is not to be part of a walk's
pub fn state_of(path: &CStr) -> Option<FileState> {
    let mut stat = core::mem::MaybeUninit::<libc::stat>::uninit();
    let arguments = [
        libc::AT_FDCWD as usize,
        path.as_ptr() as usize,
        stat.as_mut_ptr() as usize,
        0,
        0,
        0,
    ];
    // SAFETY: a zero-terminated path, and room for the answer, which is there if there is no error.
    unsafe {
        system_call(libc::SYS_newfstatat, arguments).ok()?;
        let stat = stat.assume_init_ref();
        Some(FileState {
            device_and_inode: [stat.st_dev, stat.st_ino],
            bytes: stat.st_size as u64,
            changed_nanos: stat
                .st_ctime
                .wrapping_mul(1_000_000_000)
                .wrapping_add(stat.st_ctime_nsec),
        })
    }
}

/// Lines longer than this name no file that could be opened.
const LONGEST_LINE: usize = 8192;

/// What has been read and not yet seen.
struct Lines {
    buffer: [u8; LONGEST_LINE],
    filled: usize,
    /// The line began before the buffer.
    is_rest: bool,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines {
            buffer: [0; LONGEST_LINE],
            filled: 0,
            is_rest: false,
        }
    }
}

impl Lines {
    fn room(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.filled..).unwrap_or(&mut [])
    }

    fn add(&mut self, more: usize, visit: &mut impl FnMut(&MappedFile)) {
        self.filled = (self.filled + more).min(LONGEST_LINE);
        let mut seen = 0;
        while let Some(rest) = self.buffer.get(seen..self.filled)
            && let Some(length) = rest.iter().position(|&byte| byte == b'\n')
        {
            let line = rest.get(..length).unwrap_or(&[]);
            if let Some(mapped) = MappedFile::parse(line).filter(|_| !self.is_rest) {
                visit(&mapped);
            }
            self.is_rest = false;
            seen += length + 1;
        }
        if seen == 0 && self.filled == LONGEST_LINE {
            (self.is_rest, seen) = (true, LONGEST_LINE);
        }
        self.buffer.copy_within(seen..self.filled, 0);
        self.filled -= seen;
    }
}

struct Descriptor(c_int);

impl Descriptor {
    fn open() -> Option<Descriptor> {
        // SAFETY: a zero-terminated path.
        let descriptor = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        (descriptor >= 0).then_some(Descriptor(descriptor))
    }

    /// Bytes read; `None` at the end.
    fn read(&self, to: &mut [u8]) -> Option<usize> {
        // SAFETY: that many writable bytes.
        let read = unsafe { libc::read(self.0, to.as_mut_ptr().cast(), to.len()) };
        usize::try_from(read).ok().filter(|&read| read > 0)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { libc::close(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_and_what_names_no_file_is_none() {
        let line = b"7f0a1000-7f0a3000 r-xp 00001000 fe:01 1234567                    /a b/c.so (deleted)";
        assert_eq!(
            MappedFile::parse(line),
            Some(MappedFile {
                addresses: 0x7f0a_1000..0x7f0a_3000,
                file: FileId {
                    device: 0xfe << 32 | 1,
                    inode: 1_234_567
                },
                path: b"/a b/c.so (deleted)",
            })
        );
        for other in [
            &b"7f0a1000-7f0a3000 rw-p 00000000 00:00 0 "[..],
            b"7f0a1000-7f0a3000 rw-p 00000000 00:00 0                          [heap]",
            b"",
            b"x",
        ] {
            assert_eq!(MappedFile::parse(other), None);
        }
    }

    #[test]
    fn lines_come_whole_however_they_are_read() {
        let long = "x".repeat(2 * LONGEST_LINE);
        let text = format!("1-2 r 0 1:2 3 /a\n2-3 r 0 1:2 4 /{long}\n3-4 r 0 0:0 0\n4-5 r 0 1:2 5 /b\n");
        for step in [1, 7, 100, LONGEST_LINE] {
            let (mut lines, mut rest, mut paths) = (Lines::default(), text.as_bytes(), Vec::new());
            while !rest.is_empty() {
                let room = lines.room();
                let count = step.min(room.len()).min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                lines.add(count, &mut |mapped| {
                    paths.push((mapped.file.inode, mapped.path.to_vec()))
                });
            }
            assert_eq!(paths, [(3, b"/a".to_vec()), (5, b"/b".to_vec())], "{step}");
        }
    }

    #[test]
    fn the_program_lies_in_its_file() {
        use std::os::unix::fs::MetadataExt;
        let here = at(at as *const () as u64).unwrap();
        assert_eq!(here.inode, std::fs::metadata("/proc/self/exe").unwrap().ino());
        assert_eq!(at(core::ptr::from_ref(&here) as u64), None);
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(of(file.as_raw_fd()), Some(here));
    }
}
