//! File and function names of redirected calls, each kept once.
//!
//! The strings that the header hands over lie in the object that was compiled with it; a library can be closed. The
//! copies here live as long as the process.

use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{AcqRel, Acquire},
};

use crate::tables::arena::ARENA;
use crate::tables::hash::mix_bytes;

struct Name {
    next: *mut Name,
    text: &'static [u8],
}

const BUCKETS: usize = 512;
/// Longest name kept; a longer one is cut.
const LONGEST: usize = 4096;

/// Chains of names by hash, only ever added to. Atomic, because hooks look while others add.
static BUCKET: [AtomicPtr<Name>; BUCKETS] = [const { AtomicPtr::new(null_mut()) }; BUCKETS];

/// The process's copy of `text`, or `None` without memory. Context: hook.
pub fn intern(text: &[u8]) -> Option<&'static [u8]> {
    let text = text.get(..LONGEST).unwrap_or(text);
    let bucket = &BUCKET[(mix_bytes(0, text) >> 40) as usize % BUCKETS];
    loop {
        let head = bucket.load(Acquire);
        let mut name = head;
        // SAFETY: chains hold published names, which live for ever.
        while let Some(known) = unsafe { name.as_ref() } {
            if known.text == text {
                return Some(known.text);
            }
            name = known.next;
        }
        let copy = ARENA.copy_bytes(text)?;
        let name = ARENA.place(Name { next: head, text: copy })?;
        if bucket.compare_exchange(head, name, AcqRel, Acquire).is_ok() {
            return Some(copy);
        }
    }
}
