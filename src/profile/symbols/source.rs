//! Where the bytes of files come from, in pieces: what a name needs of a file is little, and debug information may be gigabytes. An
//! open file has a few windows of memory ([`WINDOW`]); what lies elsewhere is read when it is asked for.
//!
//! Why files aren't mapped: what is mapped counts as this process's memory as far as it was looked at, whatever bound is set
//! on ours; and should a file be shortened meanwhile, or its disk fail, the next look would end the program by a signal. To read is an error then.
//!
//! Context: outside hooks.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::rc::Rc;

use gimli::{LittleEndian, ReaderOffsetId};

use crate::sys::mapped_files::{self, FileId};
use crate::sys::no_memory;

/// Bytes of a window, and of all windows of a file.
const WINDOW: usize = 8 << 10;
const WINDOWS: usize = 64;

/// What ends with a zero is searched for its end so far.
const LONGEST_TEXT: usize = 1 << 20;
/// Texts are cut here when they become strings. (Names are cut at much less once they are demangled.)
const LONGEST_STRING: usize = 64 << 10;
/// Bytes of strings that are made of a source, until [`Source::forget_strings`]: in damaged debug information thousands of files may lie
/// in one folder of a long name.
const MOST_STRINGS: usize = 128 << 20;

/// Bytes of a file that are summed up at most.
const MOST_SUMMED: u64 = 4 << 30;

/// A file, or memory.
pub(super) struct Source {
    bytes: Bytes,
    length: u64,
    strings: Cell<usize>,
}

enum Bytes {
    File { file: File, windows: Box<RefCell<Windows>> },
    Memory(Vec<u8>),
}

/// The window with number n, of the bytes from n * [`WINDOW`], has place n % [`WINDOWS`].
struct Windows {
    /// Empty until something is read.
    memory: Vec<u8>,
    /// Number and length of what is in each place.
    held: [Option<(u64, usize)>; WINDOWS],
}

impl Windows {
    /// What of window `number` lies at `offset` and behind it.
    fn get(&mut self, file: &File, number: u64, offset: usize) -> Option<&[u8]> {
        let place = (number % WINDOWS as u64) as usize;
        if self.memory.is_empty() {
            reserve(&mut self.memory, WINDOW * WINDOWS);
            self.memory.resize(WINDOW * WINDOWS, 0);
        }
        let window = self.memory.get_mut(place * WINDOW..)?.get_mut(..WINDOW)?;
        let held = self.held.get_mut(place)?;
        let length = match *held {
            Some((same, length)) if same == number => length,
            _ => {
                *held = None;
                let length = read_up_to(file, window, number.checked_mul(WINDOW as u64)?)?;
                *held = Some((number, length));
                length
            }
        };
        window.get(offset..length).filter(|rest| !rest.is_empty())
    }
}

/// Makes room for so many more. Without memory it unwinds to whoever asked for names, as all does that is made of debug information
/// ([`no_memory`]).
pub(super) fn reserve<T>(to: &mut Vec<T>, more: usize) {
    if to.try_reserve(more).is_err() {
        no_memory::unwind();
    }
}

/// Reads until `out` is full or the file ends.
fn read_up_to(file: &File, out: &mut [u8], at: u64) -> Option<usize> {
    let mut length = 0;
    while let Some(rest) = out.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(length)
}

impl Source {
    /// A regular file; `None` when it can't be opened or is something else. A pipe would have to be waited for, and a device may do
    /// something when it is opened, so it is asked first.
    pub(super) fn open(path: &Path) -> Option<Rc<Source>> {
        std::fs::metadata(path).ok().filter(|metadata| metadata.is_file())?;
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = options.open(path).ok()?;
        let metadata = file.metadata().ok().filter(|metadata| metadata.is_file())?;
        let windows = Windows {
            memory: Vec::new(),
            held: [None; WINDOWS],
        };
        Some(Rc::new(Source {
            bytes: Bytes::File {
                file,
                windows: Box::new(RefCell::new(windows)),
            },
            length: metadata.len(),
            strings: Cell::new(0),
        }))
    }

    /// Memory.
    pub(super) fn of_memory(bytes: Vec<u8>) -> Rc<Source> {
        Rc::new(Source {
            length: bytes.len() as u64,
            bytes: Bytes::Memory(bytes),
            strings: Cell::new(0),
        })
    }

    /// The file, as the kernel tells mapped files apart.
    pub(super) fn file_id(&self) -> Option<FileId> {
        match &self.bytes {
            Bytes::File { file, .. } => mapped_files::of(file.as_raw_fd()),
            Bytes::Memory(_) => None,
        }
    }

    /// The checksum of the whole that a debug link has; `None` for what can't be read, or would take seconds.
    pub(super) fn checksum(&self) -> Option<u32> {
        if self.length > MOST_SUMMED {
            return None;
        }
        let mut sum = flate2::Crc::new();
        let mut at = 0;
        while at < self.length {
            at += self.with(at, |bytes| {
                sum.update(bytes);
                bytes.len() as u64
            })?;
        }
        Some(sum.sum())
    }

    /// Shows some of the bytes from `at` on, one at least; `None` where there are none or they can't be read.
    fn with<T>(&self, at: u64, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        match &self.bytes {
            Bytes::File { file, windows } => {
                let (number, offset) = (at / WINDOW as u64, (at % WINDOW as u64) as usize);
                windows.borrow_mut().get(file, number, offset).map(look)
            }
            Bytes::Memory(bytes) => bytes
                .get(usize::try_from(at).ok()?..)
                .filter(|rest| !rest.is_empty())
                .map(look),
        }
    }

    /// Fills `out` with what lies at `at`.
    pub(super) fn read(&self, mut at: u64, mut out: &mut [u8]) -> Option<()> {
        while !out.is_empty() {
            let count = self.with(at, |bytes| {
                let count = bytes.len().min(out.len());
                out[..count].copy_from_slice(&bytes[..count]);
                count
            })?;
            out = &mut out[count..];
            at += count as u64;
        }
        Some(())
    }

    /// Bytes that there are.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// All of it.
    pub(super) fn whole(self: &Rc<Source>) -> Piece {
        Piece {
            start: 0,
            end: self.length,
            source: self.clone(),
        }
    }

    /// A part of it, if it has so many bytes.
    pub(super) fn piece(self: &Rc<Source>, start: u64, bytes: u64) -> Option<Piece> {
        self.whole().part(start, bytes)
    }

    /// The strings that were made of it so far are gone.
    pub(super) fn forget_strings(&self) {
        self.strings.set(0);
    }
}

/// A part of a source: a section, and what gimli splits it into.
#[derive(Clone)]
pub(super) struct Piece {
    source: Rc<Source>,
    start: u64,
    end: u64,
}

impl Piece {
    /// Nothing.
    pub(super) fn empty() -> Piece {
        Source::of_memory(Vec::new()).whole()
    }

    fn bytes(&self) -> u64 {
        self.end - self.start
    }

    /// What it is a part of.
    pub(super) fn source(&self) -> &Rc<Source> {
        &self.source
    }

    /// A part of it.
    pub(super) fn part(&self, start: u64, bytes: u64) -> Option<Piece> {
        let start = self.start.checked_add(start)?;
        let end = start.checked_add(bytes).filter(|end| *end <= self.end)?;
        let source = self.source.clone();
        Some(Piece { source, start, end })
    }

    /// So many bytes at `at`.
    pub(super) fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let part = self.part(at, N as u64)?;
        let mut out = [0; N];
        self.source.read(part.start, &mut out)?;
        Some(out)
    }

    /// A copy, if it has no more than `most` bytes.
    pub(super) fn copy(&self, most: u64) -> Option<Vec<u8>> {
        let bytes = usize::try_from(self.bytes()).ok().filter(|_| self.bytes() <= most)?;
        let mut out = Vec::new();
        reserve(&mut out, bytes);
        out.resize(bytes, 0);
        self.source.read(self.start, &mut out)?;
        Some(out)
    }

    /// The text that begins at `at` and ends with a zero.
    pub(super) fn text(&self, at: u64) -> Option<String> {
        use gimli::Reader;
        let mut rest = self.part(at, self.bytes().checked_sub(at)?)?;
        let text = rest.read_null_terminated_slice().ok()?;
        Some(text.to_string().ok()?.into_owned())
    }

    fn ends_too_early(&self) -> gimli::Error {
        gimli::Error::UnexpectedEof(ReaderOffsetId(self.start))
    }

    fn take(&self, bytes: usize) -> gimli::Result<u64> {
        match bytes as u64 <= self.bytes() {
            true => Ok(self.start + bytes as u64),
            false => Err(self.ends_too_early()),
        }
    }
}

impl core::fmt::Debug for Piece {
    fn fmt(&self, to: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        to.write_str("Piece")
    }
}

impl gimli::Reader for Piece {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.bytes() as usize
    }

    fn empty(&mut self) {
        self.end = self.start;
    }

    fn truncate(&mut self, bytes: usize) -> gimli::Result<()> {
        self.end = self.take(bytes)?;
        Ok(())
    }

    fn offset_from(&self, base: &Piece) -> usize {
        self.start.saturating_sub(base.start) as usize
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.start)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        (self.start..=self.end)
            .contains(&id.0)
            .then(|| (id.0 - self.start) as usize)
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        let most = self.len().min(LONGEST_TEXT);
        let mut seen = 0;
        while seen < most {
            let (found, count) = self
                .source
                .with(self.start + seen as u64, |bytes| {
                    let bytes = &bytes[..bytes.len().min(most - seen)];
                    (bytes.iter().position(|&at| at == byte), bytes.len())
                })
                .ok_or(gimli::Error::Io)?;
            if let Some(at) = found {
                return Ok(seen + at);
            }
            seen += count;
        }
        Err(self.ends_too_early())
    }

    fn skip(&mut self, bytes: usize) -> gimli::Result<()> {
        self.start = self.take(bytes)?;
        Ok(())
    }

    fn split(&mut self, bytes: usize) -> gimli::Result<Piece> {
        let middle = self.take(bytes)?;
        let first = Piece {
            source: self.source.clone(),
            start: self.start,
            end: middle,
        };
        self.start = middle;
        Ok(first)
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.copy(u64::MAX).map(Cow::Owned).ok_or(gimli::Error::Io)
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        let text = self.to_string_lossy()?;
        match text.contains(char::REPLACEMENT_CHARACTER) {
            true => Err(gimli::Error::BadUtf8),
            false => Ok(text),
        }
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        let mut start = self.clone();
        start.end = start.end.min(start.start + LONGEST_STRING as u64);
        let strings = self.source.strings.get() + start.len();
        if strings > MOST_STRINGS {
            return Err(gimli::Error::Io);
        }
        self.source.strings.set(strings);
        let bytes = start.copy(u64::MAX).ok_or(gimli::Error::Io)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
        .into())
    }

    fn read_slice(&mut self, out: &mut [u8]) -> gimli::Result<()> {
        let end = self.take(out.len())?;
        self.source.read(self.start, out).ok_or(gimli::Error::Io)?;
        self.start = end;
        Ok(())
    }

    fn read_u8(&mut self) -> gimli::Result<u8> {
        let end = self.take(1)?;
        let byte = self.source.with(self.start, |bytes| bytes[0]).ok_or(gimli::Error::Io)?;
        self.start = end;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::Reader;

    /// A file that has gone already, and what is in it.
    fn sources(name: &str, contents: &[u8]) -> [Rc<Source>; 2] {
        let path = std::env::temp_dir().join(format!("cgoheap-source-{}-{name}", std::process::id()));
        std::fs::write(&path, contents).unwrap();
        let file = Source::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        [file, Source::of_memory(contents.to_vec())]
    }

    fn numbers(count: u32) -> Vec<u8> {
        (0..count).flat_map(|number| (number * 7).to_le_bytes()).collect()
    }

    #[test]
    fn a_file_larger_than_its_windows_is_read_as_memory_is() {
        let contents = numbers(400_000);
        assert!(contents.len() > 2 * WINDOW * WINDOWS);
        for source in sources("large", &contents) {
            let mut all = source.whole();
            for number in 0..400_000 {
                assert_eq!(all.read_u32(), Ok(number * 7));
            }
            assert!(all.is_empty() && all.read_u8().is_err());
            for at in (0..contents.len() - 9).rev().step_by(WINDOW - 3) {
                let nine: [u8; 9] = source.whole().array(at as u64).unwrap();
                assert_eq!(nine, contents[at..at + 9]);
            }
            let mut sum = flate2::Crc::new();
            sum.update(&contents);
            assert_eq!(source.checksum(), Some(sum.sum()));
        }
    }

    #[test]
    fn texts_end_with_their_zero_wherever_windows_end() {
        let mut contents = vec![b'x'; 3 * WINDOW];
        contents[2 * WINDOW] = 0;
        for source in sources("texts", &contents) {
            for start in [0, WINDOW - 1, WINDOW, 2 * WINDOW] {
                let text = source.whole().text(start as u64).unwrap();
                assert_eq!(text.len(), 2 * WINDOW - start);
            }
            assert_eq!(source.whole().text(2 * WINDOW as u64 + 1), None);
            assert_eq!(source.whole().text(u64::MAX), None);
        }
    }

    #[test]
    fn strings_are_cut_and_there_is_a_most_of_them() {
        let contents = vec![b'x'; 2 * LONGEST_STRING];
        let source = Source::of_memory(contents);
        let count = || {
            (0..10_000)
                .take_while(|_| source.whole().to_string_lossy().is_ok())
                .count()
        };
        assert_eq!(source.whole().to_string_lossy().unwrap().len(), LONGEST_STRING);
        assert_eq!(count(), MOST_STRINGS / LONGEST_STRING - 1);
        source.forget_strings();
        assert_eq!(count(), MOST_STRINGS / LONGEST_STRING);
    }

    #[test]
    fn parts_stay_within_it() {
        let source = Source::of_memory(numbers(4));
        let piece = source.piece(4, 8).unwrap();
        assert_eq!(piece.array::<4>(4), Some(14u32.to_le_bytes()));
        for (start, bytes) in [(4, 5), (9, 0), (u64::MAX, 2), (1, u64::MAX)] {
            assert!(piece.part(start, bytes).is_none());
            assert!(piece.array::<9>(start).is_none());
        }
        assert!(source.piece(16, 1).is_none());
        let mut rest = piece.clone();
        assert!(rest.split(9).is_err() && rest.truncate(9).is_err() && rest.skip(9).is_err());
        let mut tail = rest.clone();
        tail.skip(8).unwrap();
        assert_eq!((tail.len(), tail.offset_from(&piece)), (0, 8));
    }

    #[test]
    fn a_file_that_is_shortened_meanwhile_is_an_error() {
        let path = std::env::temp_dir().join(format!("cgoheap-source-{}-shortened", std::process::id()));
        std::fs::write(&path, numbers(100_000)).unwrap();
        let source = Source::open(&path).unwrap();
        assert!(source.whole().array::<8>(0).is_some());
        File::create(&path).unwrap();
        assert!(source.whole().array::<8>(300_000).is_none());
        assert_eq!(source.checksum(), None);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_mostly_a_hole_takes_no_time() {
        let path = std::env::temp_dir().join(format!("cgoheap-source-{}-hole", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let source = Source::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(source.checksum(), None);
        assert_eq!(source.whole().array(1 << 39), Some([0; 8]));
        assert_eq!(source.whole().copy(1 << 20), None);
        assert!(source.whole().find(1).is_err());
    }

    #[test]
    fn a_folder_or_a_pipe_is_no_file() {
        assert!(Source::open(&std::env::temp_dir()).is_none());
        assert!(Source::open(Path::new("/dev/zero")).is_none());
    }
}
