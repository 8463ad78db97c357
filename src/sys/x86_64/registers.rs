//! The registers that lead from a frame to its caller's.

/// The registers that a walk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Return address (for a frame that a signal interrupted: its instruction pointer plus one).
    pub ip: u64,
    /// Stack pointer once the call has returned.
    pub sp: u64,
    /// Frame pointer register, whatever the code uses it for.
    pub bp: u64,
}
