//! Why a step from a frame to its caller wasn't made.

use crate::tables::frame::End;

/// See the head of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The stack ends here.
    At(End),
    /// No table covers the address.
    NoTable,
    /// The table needs registers that this walk doesn't follow.
    NeedsRegisters,
}

impl From<End> for Stop {
    fn from(end: End) -> Stop {
        Stop::At(end)
    }
}
