//! The segments of a loaded object: what of it lies where in memory.

use core::ops::Range;

/// Segments that are told apart; of an object with more the last ones aren't known.
const MOST: usize = 12;

/// One that the loader mapped (`PT_LOAD`).
#[derive(Clone, Copy)]
struct Segment {
    start: u64,
    end: u64,
    readable: bool,
    executable: bool,
}

/// All of an object. A linker makes four or five; tools that rewrite a program afterwards add some.
#[derive(Clone, Copy)]
pub struct Segments([Option<Segment>; MOST]);

impl Segments {
    /// None.
    pub(super) const NONE: Segments = Segments([None; MOST]);

    /// Adds the one at `range`, with the flags of its program header.
    pub(super) fn add(&mut self, range: Range<u64>, flags: u32) {
        if let Some(slot) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(Segment {
                start: range.start,
                end: range.end,
                readable: flags & libc::PF_R != 0,
                executable: flags & libc::PF_X != 0,
            });
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.0.iter().flatten()
    }

    /// The readable segment that holds `address`. Context: hook.
    pub fn readable(&self, address: u64) -> Option<Range<u64>> {
        let holds = |segment: &&Segment| segment.readable && (segment.start..segment.end).contains(&address);
        self.iter().find(holds).map(|segment| segment.start..segment.end)
    }

    /// The readable segments, those without code first. Context: hook.
    pub(super) fn all_readable(&self) -> impl Iterator<Item = Range<u64>> {
        [false, true].into_iter().flat_map(move |executable| {
            self.iter()
                .filter(move |segment| segment.readable && segment.executable == executable)
                .map(|segment| segment.start..segment.end)
        })
    }

    /// Whether all of `addresses` lies in one executable segment. Context: hook.
    pub fn have_code(&self, addresses: Range<u64>) -> bool {
        addresses.start < addresses.end
            && self
                .iter()
                .any(|segment| segment.executable && segment.start <= addresses.start && addresses.end <= segment.end)
    }
}
