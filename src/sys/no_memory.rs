//! How control code ends when the system gives no more memory.

/// What unwinds then: the payload, for those who catch it.
#[derive(Clone, Copy, Debug)]
pub struct NoMemory;

impl NoMemory {
    /// Whether this is what was caught.
    pub fn is(payload: &(dyn core::any::Any + Send)) -> bool {
        payload.is::<NoMemory>()
    }
}

/// Unwinds to whoever catches [`NoMemory`]; says nothing on stderr. Context: outside hooks.
pub fn unwind() -> ! {
    std::panic::resume_unwind(Box::new(NoMemory))
}
