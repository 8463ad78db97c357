//! Names of C, C++ and Rust addresses in this process, out of the files that its objects were loaded from.
//!
//! Files are opened where their frames ask for them and let go with the next object's, so at any time the debug information
//! of one object is in memory, and none between two profiles. What was found stays in a cache, which grows with the
//! distinct frames of sampled stacks: the next profile opens only the files that have new ones.
//!
//! Why not `backtrace::resolve`, which does the same in one call: it lists the loaded objects at its first use and
//! never again (`clear_symbol_cache` doesn't change that), so that a library opened later has no names, and an address where a
//! closed library was has the names of what was there before; it keeps the parsed files; and it knows few of the places where
//! distributions keep debug information. This is the crate that it is made of, given the files and the bias that the snapshot recorded. tests/unwind.rs holds the names, and the walk, against those of
//! `backtrace` for a program whose objects stay the same.
//!
//! ```text
//!   identity     is the file the one that ran?           debug_file   what an object's files say of an address
//!   places       where debug information may lie         elf          sections and symbols of one file
//!   source       files, read in pieces                   xz           an object's symbols, packed (.gnu_debugdata)
//!   name         a name for people, at a bounded cost    known        what has been found so far
//! ```
//!
//! Context: outside hooks.

mod debug_file;
mod elf;
mod identity;
mod known;
mod name;
mod places;
mod source;
mod xz;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Line, Symbolizer};
use crate::sys::lock::Lock;
use crate::tables::frame::{Frame, ObjectId};
use crate::tables::objects::Object;
use debug_file::DebugFile;
use known::Known;
use places::Places;

/// Protects what is known of frames so far, no line for a frame that its files don't name. Held for a look or
/// an insertion, never while a file is read. Object ids are never reused, so an entry stays true for ever.
static KNOWN: Lock<Known> = Lock::new(Known::new());

/// In a forked child: what a thread of the parent was changing at that moment is left alone, and begun anew.
///
/// (The fork doesn't wait for it, as it does for the tables' locks: a thread that holds it may allocate, and wait for a lock of
/// the allocator's that the fork has taken before.)
///
/// # Safety
/// No other thread is in this process, and this one is not in the map.
pub unsafe fn reset_in_child() {
    // SAFETY: passed on to the caller.
    unsafe { KNOWN.replace_in_child(Known::new()) }
}

/// Names addresses of this process. Make one for each profile; several threads may do so at the same time.
pub struct ProcessSymbols {
    /// The object asked for last.
    open: Option<Open>,
    places: Places,
    unread: u64,
}

/// An object, and what is read of its files.
struct Open {
    object: ObjectId,
    detail: Detail,
    is_read: bool,
    /// Whether some frame was named since it was read.
    has_named: bool,
    /// `None` when there are none.
    files: Option<DebugFile>,
}

/// How much of an object's files is read: the most that there is memory for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    All,
    Functions,
    Nothing,
}

impl Default for ProcessSymbols {
    fn default() -> ProcessSymbols {
        ProcessSymbols::new()
    }
}

impl ProcessSymbols {
    /// A symbolizer that has no file open.
    pub fn new() -> ProcessSymbols {
        ProcessSymbols {
            open: None,
            places: Places::of_process(),
            unread: 0,
        }
    }

    /// Appends the lines of a frame; false when its object has no files.
    fn lines(&mut self, frame: Frame, object: &Object, out: &mut Vec<Line>) -> bool {
        if self.open.as_ref().is_none_or(|open| open.object != object.id) {
            // First out, then in: never two of them in memory.
            self.open = None;
        }
        let open = self.open.get_or_insert(Open {
            object: object.id,
            detail: Detail::All,
            is_read: false,
            has_named: false,
            files: None,
        });
        if !open.is_read && open.detail != Detail::Nothing {
            open.files = DebugFile::open(object, &self.places, open.detail == Detail::All);
        }
        open.is_read = true;
        let Some(files) = &mut open.files else { return false };
        files.lines(frame.call_address().wrapping_sub(object.load_bias), out);
        open.has_named = true;
        // What there is more memory for next time isn't known yet.
        open.detail == Detail::All
    }

    /// After there was no memory, or a panic: what was read for other frames of the object goes; if it was nothing, less is read of its files.
    fn read_less(&mut self) {
        let Some(open) = &mut self.open else { return };
        open.files = None;
        open.is_read = false;
        if core::mem::take(&mut open.has_named) {
            return;
        }
        self.unread += u64::from(open.detail == Detail::All);
        open.detail = match open.detail {
            Detail::All => Detail::Functions,
            _ => Detail::Nothing,
        };
    }
}

impl Symbolizer for ProcessSymbols {
    fn resolve(&mut self, frame: Frame, object: Option<&Object>, out: &mut Vec<Line>) {
        if KNOWN.lock().get(frame, out) {
            return;
        }
        let Some(object) = object else { return };
        loop {
            // Debug information may need more memory than there is (sys/no_memory.rs), or a library that reads it may panic over
            // one that is damaged. A profile with fewer names is better than none.
            match catch_unwind(AssertUnwindSafe(|| self.lines(frame, object, out))) {
                Ok(true) => return KNOWN.lock().put(frame, out),
                Ok(false) => return,
                Err(_) => {
                    out.clear();
                    self.read_less();
                }
            }
        }
    }

    fn unread(&self) -> u64 {
        self.unread
    }
}

#[cfg(test)]
mod tests;
