//! What has been found of frames so far, so that the next profile opens only the files that have new ones.
//!
//! It grows with the distinct frames of sampled stacks, and stays. So it is packed into a few large blocks: small ones for each
//! name would lie among those that a profile needs for a moment, and keep the memory of all. Each text is there once.
//!
//! Context: outside hooks.

use std::collections::HashMap;
use std::hash::{BuildHasher, DefaultHasher};

use crate::profile::Line;
use crate::tables::frame::Frame;

/// Bytes of texts at most; beyond, all is forgotten and found again.
const MOST_TEXT: usize = 64 << 20;

type Hasher = std::hash::BuildHasherDefault<DefaultHasher>;

/// See the head of this file.
pub(super) struct Known {
    /// First and number of its lines; none for a frame that its file doesn't name.
    frames: HashMap<Frame, (u32, u32), Hasher>,
    lines: Vec<KnownLine>,
    /// Where each text lies in `bytes`.
    texts: Vec<(u32, u32)>,
    bytes: Vec<u8>,
    /// Number of a text, by its hash; two with one hash are both there, one of them by number only.
    by_hash: HashMap<u64, u32, Hasher>,
}

/// Texts by their numbers.
#[derive(Clone, Copy)]
struct KnownLine {
    function: u32,
    system_name: u32,
    file: u32,
    line: u32,
    start_line: u32,
}

impl Known {
    /// Nothing is known.
    pub(super) const fn new() -> Known {
        Known {
            frames: HashMap::with_hasher(Hasher::new()),
            lines: Vec::new(),
            texts: Vec::new(),
            bytes: Vec::new(),
            by_hash: HashMap::with_hasher(Hasher::new()),
        }
    }

    /// Appends the frame's lines; false when it isn't known yet.
    pub(super) fn get(&self, frame: Frame, out: &mut Vec<Line>) -> bool {
        let Some(&(first, count)) = self.frames.get(&frame) else {
            return false;
        };
        let lines = self.lines.iter().skip(first as usize).take(count as usize);
        out.extend(lines.map(|line| Line {
            function: self.text(line.function),
            system_name: self.text(line.system_name),
            file: self.text(line.file),
            line: line.line,
            start_line: line.start_line,
        }));
        true
    }

    /// Keeps the frame's lines, if there is memory for them; else it is asked for again.
    pub(super) fn put(&mut self, frame: Frame, lines: &[Line]) {
        if self.bytes.len() > MOST_TEXT {
            *self = Known::new();
        }
        let _ = self.try_put(frame, lines);
    }

    fn try_put(&mut self, frame: Frame, lines: &[Line]) -> Option<()> {
        self.frames.try_reserve(1).ok()?;
        self.lines.try_reserve(lines.len()).ok()?;
        let first = u32::try_from(self.lines.len()).ok()?;
        for (count, line) in (0..).zip(lines) {
            let mut number = |text: &str| self.number(text);
            let texts = number(&line.function)
                .zip(number(&line.system_name))
                .zip(number(&line.file));
            let Some(((function, system_name), file)) = texts else {
                self.lines.truncate(self.lines.len() - count);
                return None;
            };
            self.lines.push(KnownLine {
                function,
                system_name,
                file,
                line: line.line,
                start_line: line.start_line,
            });
        }
        self.frames.insert(frame, (first, lines.len() as u32));
        Some(())
    }

    fn text(&self, number: u32) -> String {
        let (start, length) = self.texts[number as usize];
        let bytes = &self.bytes[start as usize..][..length as usize];
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn number(&mut self, text: &str) -> Option<u32> {
        let hash = Hasher::default().hash_one(text);
        let known = self.by_hash.get(&hash).copied();
        if let Some(number) = known
            && let Some(&(start, length)) = self.texts.get(number as usize)
            && self.bytes.get(start as usize..)?.get(..length as usize)? == text.as_bytes()
        {
            return Some(number);
        }
        self.bytes.try_reserve(text.len()).ok()?;
        self.texts.try_reserve(1).ok()?;
        self.by_hash.try_reserve(1).ok()?;
        let number = u32::try_from(self.texts.len()).ok()?;
        let start = u32::try_from(self.bytes.len()).ok()?;
        self.texts.push((start, u32::try_from(text.len()).ok()?));
        self.bytes.extend_from_slice(text.as_bytes());
        self.by_hash.entry(hash).or_insert(number);
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::frame::ObjectId;

    #[test]
    fn lines_come_back_as_they_were_and_texts_are_kept_once() {
        let line = |function: &str, line| Line {
            function: function.to_owned(),
            system_name: format!("_{function}"),
            file: "a.c".to_owned(),
            line,
            start_line: line / 2,
        };
        let mut known = Known::new();
        let frame = |at: u64| Frame::new(0x1000 + at, ObjectId(3));
        for at in 0..1000 {
            known.put(
                frame(at),
                &[line("inner", at as u32), line(&format!("f{}", at % 10), 7)],
            );
        }
        known.put(frame(5000), &[]);
        assert_eq!(known.texts.len(), 2 + 20 + 1);
        let mut out = Vec::new();
        assert!(known.get(frame(234), &mut out));
        assert_eq!(out, [line("inner", 234), line("f4", 7)]);
        out.clear();
        assert!(known.get(frame(5000), &mut out) && out.is_empty());
        assert!(!known.get(frame(5001), &mut out));
    }
}
