//! Reading a C stack without ever reading what isn't there.
//!
//! We read upwards from the stack pointer. How far is safe? A coroutine or signal handler runs on a stack that the C library
//! knows nothing of. So we ask the kernel, page by page and only once ([`page_is_readable`]).
//!
//! On a thread's own stack the answer is remembered in the thread's state: that stack stays as long as the thread, up to its
//! top ([`stack_top`]). On any other stack each page is asked for in every walk.

use crate::sys::pages::PAGE;
use crate::sys::readable::page_is_readable;
use crate::sys::stack_top;
use crate::sys::thread::ThreadState;

/// A walk's view of the stack memory from the stack pointer upwards.
pub struct StackMemory {
    /// Lowest address that may be read.
    low: u64,
    /// End of what is known to be readable.
    high: u64,
}

const PAGE_MASK: u64 = PAGE as u64 - 1;

impl StackMemory {
    /// The stack that `stack_pointer` points into; the calling thread runs on it, so the page right below is there. (An
    /// empty stack's pointer is its mapping's end: nothing is known of the page that begins there.)
    pub fn new(stack_pointer: u64, thread: &ThreadState) -> StackMemory {
        let own = (thread.stack_low..thread.stack_high).contains(&stack_pointer);
        let end_of_page = (stack_pointer.saturating_sub(1) | PAGE_MASK).saturating_add(1);
        StackMemory {
            low: stack_pointer,
            high: if own { thread.stack_high } else { end_of_page },
        }
    }

    /// Goes over to another stack, which `stack_pointer` points into: where a signal interrupted the program. False when
    /// it can't be read.
    pub fn move_to(&mut self, stack_pointer: u64, thread: &ThreadState) -> bool {
        if (self.low..self.high).contains(&stack_pointer) {
            return true;
        }
        let readable = page_is_readable(stack_pointer & !PAGE_MASK);
        if readable {
            *self = StackMemory::new(stack_pointer, thread);
        }
        readable
    }

    /// Whether all pages from the known part up to `stack_pointer` can be read: whether it may point into this stack.
    #[inline]
    pub fn reaches(&mut self, stack_pointer: u64) -> bool {
        stack_pointer <= self.high || self.extend_beyond(stack_pointer - 1)
    }

    /// The word at `address`, or `None` when it lies below the stack pointer or can't be read.
    #[inline]
    pub fn read(&mut self, address: u64) -> Option<u64> {
        if address < self.low || address & 7 != 0 {
            return None;
        }
        // A frame larger than this is no frame.
        if address >= self.high && (address - self.high > 16 << 20 || !self.extend_beyond(address)) {
            return None;
        }
        // SAFETY: the aligned word lies in pages of the stack we run on that were just found readable (or were earlier,
        // on this thread's own stack, which stays).
        Some(unsafe { (address as *const u64).read() })
    }

    /// Asks for all pages up to that of `address`; false when one can't be read: it ends the stack, and nothing above it
    /// belongs to it.
    #[cold]
    #[inline(never)]
    fn extend_beyond(&mut self, address: u64) -> bool {
        while self.high <= address {
            if !page_is_readable(self.high) {
                return false;
            }
            self.high += PAGE as u64;
        }
        true
    }

    /// Remembers what was learnt, if this is the thread's own stack: all pages up to its top are readable. Walks end
    /// well below the top when they leave C for Go, so the last pages are asked for here, once in a thread's life.
    pub fn remember(mut self, thread: &mut ThreadState) {
        const NEAR: u64 = 256 * 1024;
        if thread.stack_low <= self.low && self.low < thread.stack_high {
            return;
        }
        let top = stack_top::of_calling_thread();
        if self.low >= top || top.saturating_sub(self.high) > NEAR {
            return;
        }
        while self.high < top && page_is_readable(self.high) {
            self.high += PAGE as u64;
        }
        if self.high >= top {
            let low = self.low & !PAGE_MASK;
            thread.stack_low = if thread.stack_high == 0 {
                low
            } else {
                thread.stack_low.min(low)
            };
            thread.stack_high = thread.stack_high.max(self.high);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pages;

    #[test]
    fn reading_stops_at_an_unreadable_page_and_below_the_stack_pointer() {
        let pages = pages::map(3 * PAGE).unwrap();
        let start = pages.as_ptr() as u64;
        // SAFETY: the last of our three pages.
        unsafe { libc::mprotect((start + 2 * PAGE as u64) as *mut _, PAGE, libc::PROT_NONE) };
        let nothing_known = ThreadState::for_test();
        let mut memory = StackMemory::new(start + 64, &nothing_known);
        assert_eq!(memory.read(start + 64), Some(0));
        assert_eq!(memory.read(start + 56), None);
        assert_eq!(memory.read(start + 65), None);
        assert_eq!(memory.read(start + 2 * PAGE as u64 - 8), Some(0));
        assert_eq!(memory.read(start + 2 * PAGE as u64), None);
        assert_eq!(memory.read(u64::MAX - 7), None);
    }

    #[test]
    fn a_thread_remembers_its_own_stack_up_to_its_top() {
        std::thread::spawn(|| {
            let mut state = ThreadState::for_test();
            let here = (&raw const state as u64) & !7;
            let top = stack_top::of_calling_thread();
            let mut memory = StackMemory::new(here, &state);
            assert!(memory.read(top & !7).is_some());
            memory.remember(&mut state);
            assert!(state.stack_low <= here && state.stack_high > top);
        })
        .join()
        .unwrap();
    }
}
