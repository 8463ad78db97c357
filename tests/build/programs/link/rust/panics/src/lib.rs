//! A Rust library that knows nothing of cgoheap: fat LTO, an allocator of its own, and a panic that it catches.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// 1 if a panic was caught, with its message, and this library's own allocator was the one at work.
#[unsafe(no_mangle)]
pub extern "C" fn panics_and_catches(number: u32) -> u32 {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| {
        let text = format!("number {number}");
        if number == 42 {
            panic!("{text}");
        }
    });
    let text = caught.err().and_then(|payload| payload.downcast::<String>().ok());
    u32::from(text.is_some_and(|text| *text == "number 42") && ALLOCATIONS.load(Relaxed) > 0)
}
