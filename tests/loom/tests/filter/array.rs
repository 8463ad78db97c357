//! What src/tables/blocks/filter/array.rs is to the filter, in loom's atomics.

use loom::sync::atomic::AtomicU8;

/// Mask, slots and counts.
pub struct Start {
    slots: Vec<AtomicU8>,
    counts: Vec<AtomicU8>,
}

#[derive(Clone, Copy)]
pub struct Array(*mut Start);

// SAFETY: a handle to atomics that live as long as the model runs.
unsafe impl Send for Array {}

impl PartialEq for Array {
    fn eq(&self, other: &Array) -> bool {
        self.0 == other.0
    }
}

impl Array {
    pub fn new(bits: u32) -> Option<Array> {
        let zeros = || (0..1 << bits).map(|_| AtomicU8::new(0)).collect();
        let start = Start {
            slots: zeros(),
            counts: zeros(),
        };
        Some(Array(Box::into_raw(Box::new(start))))
    }

    /// # Safety
    /// `start` is that of an array.
    pub unsafe fn at(start: *mut Start) -> Array {
        Array(start)
    }

    pub fn start(self) -> *mut Start {
        self.0
    }

    fn all(&self) -> &'static Start {
        // SAFETY: made by `new`, never freed.
        unsafe { &*self.0 }
    }

    pub fn mask(&self) -> usize {
        self.slots() - 1
    }

    pub fn open(&self) -> usize {
        self.mask()
    }

    pub fn slots(&self) -> usize {
        self.all().slots.len()
    }

    pub fn slot(&self, index: usize) -> &'static AtomicU8 {
        &self.all().slots[index]
    }

    pub fn count(&self, index: usize) -> &'static AtomicU8 {
        &self.all().counts[index]
    }

    pub fn clear(self) {
        for index in 0..self.slots() {
            self.slot(index).store(0, loom::sync::atomic::Ordering::Relaxed);
            self.count(index).store(0, loom::sync::atomic::Ordering::Relaxed);
        }
    }

    pub fn pieces(self) -> usize {
        0
    }

    pub fn make_present(self, _piece: usize) -> bool {
        true
    }

    pub fn use_again(self) -> Option<()> {
        Some(())
    }
}
