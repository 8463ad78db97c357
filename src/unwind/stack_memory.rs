//! Reading a C stack without ever reading what isn't there.
//!
//! We read upwards from the stack pointer. How far is safe? A coroutine or signal handler runs on a stack that the C library
//! knows nothing of. So we ask the kernel, page by page and only once ([`page_is_readable`]).
//!
//! On a thread's own stack the answer is remembered in the thread's state: that stack stays as long as the thread, up to its
//! top ([`stack_top`]). So each page of it is asked for once, however deep the thread has gone. On any other stack each page is
//! asked for in every walk. What tells them apart is a hole: a page between the stack pointer and the thread's top that can't be
//! read. The uppermost hole that was found is remembered, and asked for first.

use crate::sys::page_size::SMALLEST as PAGE;
use crate::sys::readable::page_is_readable;
use crate::sys::stack_top;
use crate::sys::thread::ThreadState;

/// A walk's view of the stack memory from the stack pointer upwards.
pub struct StackMemory {
    /// Lowest address that may be read.
    low: u64,
    /// End of what is known to be readable.
    high: u64,
    /// The part of the thread's own stack that is known to be readable: whoever reaches its low end may read it all.
    own_low: u64,
    own_high: u64,
}

const PAGE_MASK: u64 = PAGE as u64 - 1;
/// A frame larger than this is one only if it lies on the thread's own stack.
pub const LARGEST_FRAME: u64 = 16 << 20;
/// No stack that is asked for page by page is larger: 17 ms, once in a thread's life.
const LARGEST_STACK: u64 = 1 << 30;

impl StackMemory {
    /// The stack that `stack_pointer` points into; the calling thread runs on it, so the page right below is there. (An
    /// empty stack's pointer is its mapping's end: nothing is known of the page that begins there.)
    pub fn new(stack_pointer: u64, thread: &ThreadState) -> StackMemory {
        let own = (thread.stack_low..thread.stack_high).contains(&stack_pointer);
        let end_of_page = (stack_pointer.saturating_sub(1) | PAGE_MASK).saturating_add(1);
        StackMemory {
            low: stack_pointer,
            high: if own { thread.stack_high } else { end_of_page },
            own_low: thread.stack_low,
            own_high: thread.stack_high,
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
        if address >= self.high && !self.extend_beyond(address) {
            return None;
        }
        // SAFETY: the aligned word lies in pages of the stack we run on that were just found readable (or were earlier,
        // on this thread's own stack, which stays).
        Some(unsafe { (address as *const u64).read() })
    }

    /// Asks for all pages up to that of `address`; false when one can't be read: it ends the stack, and nothing above it
    /// belongs to it. Far away is nothing but what lies on the thread's own stack.
    #[cold]
    #[inline(never)]
    fn extend_beyond(&mut self, address: u64) -> bool {
        if address - self.high > LARGEST_FRAME {
            let top = stack_top::of_calling_thread();
            if self.low >= top || address >= top || top - self.low > LARGEST_STACK {
                return false;
            }
        }
        self.extend_to(address.saturating_add(1))
    }

    /// Asks for all pages below `end`; false when one can't be read.
    fn extend_to(&mut self, end: u64) -> bool {
        while self.high < end {
            if self.own_low <= self.high && self.high < self.own_high {
                self.high = self.own_high;
            } else if page_is_readable(self.high) {
                self.high += PAGE as u64;
            } else {
                return false;
            }
        }
        true
    }

    /// Remembers what was learnt, if this is the thread's own stack: all pages up to its top are readable. Walks end below the
    /// top when they leave C for Go, so the last pages are asked for here. How many they are is an argument too: a coroutine's
    /// stack, which may go away, could lie right below the thread's without a guard page between them. Its walk ends far from the
    /// top. That of a deep recursion does as well, but `cut` short.
    pub fn remember(mut self, cut: bool, thread: &mut ThreadState) {
        const NEAR: u64 = 256 * 1024;
        if thread.stack_low <= self.low && self.low < thread.stack_high {
            return;
        }
        let top = stack_top::of_calling_thread();
        let own = self.own_low <= self.high && self.high < self.own_high;
        if self.low >= top || top - self.low > LARGEST_STACK {
            return;
        }
        if !cut && !own && top.saturating_sub(self.high) > NEAR {
            return;
        }
        let hole = thread.stack_hole;
        if self.low < hole && hole < top && !page_is_readable(hole) {
            return;
        }
        if !self.extend_to(top) {
            thread.stack_hole = self.high;
            return;
        }
        let low = self.low & !PAGE_MASK;
        thread.stack_low = if thread.stack_high == 0 {
            low
        } else {
            thread.stack_low.min(low)
        };
        thread.stack_high = thread.stack_high.max(self.high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pages::{self, PAGE};

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
            memory.remember(false, &mut state);
            assert!(state.stack_low <= here && state.stack_high > top);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_was_asked_of_a_deep_stack_is_remembered_and_a_foreign_stack_is_not() {
        std::thread::spawn(|| {
            let mut state = ThreadState::for_test();
            // Deeper than what is near the top: half a megabyte.
            let deep = [1u8; 512 << 10];
            let here = (core::hint::black_box(&deep).as_ptr() as u64 + 64) & !7;
            StackMemory::new(here, &state).remember(false, &mut state);
            assert_eq!((state.stack_low, state.stack_high), (0, 0), "not known whose it is");
            StackMemory::new(here, &state).remember(true, &mut state);
            assert!(state.stack_low <= here && state.stack_high > stack_top::of_calling_thread());

            // A foreign one, with a page behind it that can't be read.
            let known = (state.stack_low, state.stack_high);
            let pages = pages::map(3 * PAGE).unwrap();
            let start = pages.as_ptr() as u64;
            // SAFETY: the last of our three pages.
            unsafe { libc::mprotect((start + 2 * PAGE as u64) as *mut _, PAGE, libc::PROT_NONE) };
            StackMemory::new(start + 64, &state).remember(true, &mut state);
            assert_eq!((state.stack_low, state.stack_high), known);
            assert!(state.stack_hole == 0 || state.stack_hole == start + 2 * PAGE as u64);
        })
        .join()
        .unwrap();
    }
}
