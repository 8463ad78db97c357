//! File and function names of redirected calls, each kept once.
//!
//! The strings that the header hands over lie in the object that was compiled with it; a library can be closed. The
//! copies here live as long as the process.

use core::ptr::null_mut;
use core::sync::atomic::AtomicPtr;

use crate::tables::arena::ARENA;
use crate::tables::chain::{self, Link};
use crate::tables::hash::mix_bytes;

struct Name {
    next: *mut Name,
    text: &'static [u8],
}

impl Link for Name {
    fn link(&mut self) -> &mut *mut Name {
        &mut self.next
    }
    fn next(&self) -> *mut Name {
        self.next
    }
}

const BUCKETS: usize = 512;
/// Longest name kept; a longer one is cut.
const LONGEST: usize = 4096;

/// [`chain`]s of names by hash. Atomic, because hooks look while others add.
static BUCKET: [AtomicPtr<Name>; BUCKETS] = [const { AtomicPtr::new(null_mut()) }; BUCKETS];

/// The process's copy of `text`, or `None` without memory. Context: hook.
pub fn intern(text: &[u8]) -> Option<&'static [u8]> {
    let text = text.get(..LONGEST).unwrap_or(text);
    let bucket = &BUCKET[(mix_bytes(0, text) >> 40) as usize % BUCKETS];
    let new = || {
        ARENA.place(Name {
            next: null_mut(),
            text: ARENA.copy_bytes(text)?,
        })
    };
    // SAFETY: a bucket is only ever given to this.
    let (name, _) = unsafe { chain::find_or_add(bucket, |known| known.text == text, new)? };
    Some(name.text)
}
