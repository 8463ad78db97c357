//! One word for one frame: a return address and the object it was in.
//!
//! ```text
//!   63            48 47                                             0
//!  +----------------+------------------------------------------------+
//!  |  object id     |  return address                                |
//!  +----------------+------------------------------------------------+
//! ```
//!
//! Addresses of user memory have no more than 48 bits, so the sixteen above are free. They say in which loaded object
//! the address lay *when the stack was taken*. A library that is closed later, and another one that is then loaded at
//! the same address, therefore never share a frame, and no name of the one is given to the other.

use crate::sys::registers;

/// Index of a loaded object in the object registry ([`crate::tables::objects`]); never reused while the process lives.
///
/// 0 means "not known" (the registry was full, or no object covers the address); [`ObjectId::GO`] marks an address
/// that the Go runtime names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u16);

impl ObjectId {
    /// No object is known for this address.
    pub const UNKNOWN: ObjectId = ObjectId(0);
    /// A Go address: named by the Go side, from Go's own tables, which no strip removes.
    pub const GO: ObjectId = ObjectId(u16::MAX);
}

/// A return address together with the object that held it.
///
/// All frames are return addresses, the leaf too: it is the address that the hook returns to. (A frame that a signal
/// interrupted is stored as its instruction pointer plus one, so that the rule has no exception.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Frame(u64);

const ADDRESS_BITS: u32 = 64 - u16::BITS;
const _: () = assert!(
    registers::ADDRESS_BITS <= ADDRESS_BITS,
    "a frame has room for an address"
);
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;

impl Frame {
    /// No frame: it stands between two, of which the outer was found by the frame pointer, since no unwind table covers the inner.
    pub const BY_FRAME_POINTER: Frame = Frame::new(1, ObjectId::UNKNOWN);

    /// A frame of native code that returned to `return_address` inside `object`.
    pub const fn new(return_address: u64, object: ObjectId) -> Frame {
        Frame((return_address & ADDRESS_MASK) | ((object.0 as u64) << ADDRESS_BITS))
    }

    /// A frame of Go code.
    pub const fn go(return_address: u64) -> Frame {
        Frame::new(return_address, ObjectId::GO)
    }

    /// The address that the call returns to.
    pub const fn return_address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    /// An address inside the call instruction: what symbol tables and profiles want. The one place that subtracts.
    pub const fn call_address(self) -> u64 {
        self.return_address().saturating_sub(1)
    }

    /// The object that held the address when the stack was taken.
    pub const fn object(self) -> ObjectId {
        ObjectId((self.0 >> ADDRESS_BITS) as u16)
    }

    /// The whole word: a key that no other address and no other object has. Never 0 for a frame in a known object.
    pub const fn cache_key(self) -> u64 {
        self.0
    }

    /// What a person reads for a mark between frames; `None` for a frame.
    pub fn mark(self) -> Option<&'static str> {
        (self == Frame::BY_FRAME_POINTER).then_some("[by frame pointer]")
    }

    /// Whether the Go side names this frame.
    pub const fn is_go(self) -> bool {
        self.object().0 == ObjectId::GO.0
    }
}

/// Why a stack ends where it ends. Every end but [`End::Complete`] is counted in [`crate::tables::counters`] and marked in the
/// profile; the frames below it are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum End {
    /// The walk reached the start of the thread or of the goroutine.
    Complete = 0,
    /// More frames than [`crate::unwind::MAX_FRAMES`].
    TooDeep = 1,
    /// No unwind table covers the address: assembly, JIT code, or an object built without tables.
    NoUnwindInfo = 2,
    /// A table asks for something this unwinder doesn't do, or its answer makes no sense.
    BadUnwindInfo = 3,
    /// The stack memory could not be read.
    UnreadableStack = 4,
    /// The C code was called from Go on a system stack (the runtime itself, thread creation): no goroutine to follow.
    GoSystemStack = 5,
    /// The C code was called from Go, but Go frames are off (no Go side, or the start-up check failed).
    GoFramesOff = 6,
    /// The goroutine's frame pointers lead out of its stack.
    BadGoStack = 7,
    /// No stack of ours was free to read an unwind table on: see [`crate::sys::spare_stack`].
    NoRoom = 8,
    /// The table of stacks is full: of this stack the innermost frames and the Go caller are kept.
    TableFull = 9,
}

impl End {
    /// The end whose number is `value`, or [`End::BadUnwindInfo`] for a number that is none.
    pub const fn from_u8(value: u8) -> End {
        match value {
            0 => End::Complete,
            1 => End::TooDeep,
            2 => End::NoUnwindInfo,
            4 => End::UnreadableStack,
            5 => End::GoSystemStack,
            6 => End::GoFramesOff,
            7 => End::BadGoStack,
            8 => End::NoRoom,
            9 => End::TableFull,
            _ => End::BadUnwindInfo,
        }
    }

    /// What a person reads in the profile's root frame, or `None` for a complete stack.
    pub const fn describe(self) -> Option<&'static str> {
        match self {
            End::Complete => None,
            End::TooDeep => Some("too deep"),
            End::NoUnwindInfo => Some("no unwind table"),
            End::BadUnwindInfo => Some("unusable unwind table"),
            End::UnreadableStack => Some("unreadable stack"),
            End::GoSystemStack => Some("called by the Go runtime on a system stack"),
            End::GoFramesOff => Some("Go frames are off"),
            End::BadGoStack => Some("goroutine stack not readable"),
            End::NoRoom => Some("no room to read an unwind table in"),
            End::TableFull => Some("stack table full"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_keeps_address_and_module_apart() {
        let frame = Frame::new(0x7fff_ffff_f123, ObjectId(513));
        assert_eq!(frame.return_address(), 0x7fff_ffff_f123);
        assert_eq!(frame.call_address(), 0x7fff_ffff_f122);
        assert_eq!(frame.object(), ObjectId(513));
        assert!(!frame.is_go());
        assert!(Frame::go(0x40_1000).is_go());
        assert_eq!(Frame::go(0x40_1000).return_address(), 0x40_1000);
    }

    #[test]
    fn every_end_survives_its_number() {
        for value in 0..=9u8 {
            assert_eq!(End::from_u8(value) as u8, value);
        }
    }
}
