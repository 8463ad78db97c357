//! 6. **Snapshot**: a copy of the tables as plain data, taken under short locks. Nothing is named or encoded here.

use crate::frame::{End, Frame, ModuleId};
use crate::stats::Stats;

/// Where a redirected call stands in the source, as the header handed it over.
///
/// The strings live as long as the process: the stack table keeps its own copies, so a library may be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// `__FILE__` as the compiler saw it; rarely not UTF-8.
    pub file: &'static [u8],
    /// `__LINE__`.
    pub line: u32,
    /// `__func__`; empty outside a function.
    pub function: &'static [u8],
}

/// Scaled totals of one stack. `alloc_*` count since the start of the process, `inuse_*` what is not freed.
///
/// Signed, because the difference of two snapshots can shrink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Blocks allocated.
    pub alloc_objects: i64,
    /// Bytes requested by them.
    pub alloc_bytes: i64,
    /// Blocks not freed.
    pub inuse_objects: i64,
    /// Bytes requested by them.
    pub inuse_bytes: i64,
}

/// One distinct stack and what was allocated there.
#[derive(Clone, Debug)]
pub struct StackRecord {
    /// Number of the stack in the stack table: the same stack has the same number in every later snapshot.
    pub id: u32,
    /// The redirected call, when the header's macros made the allocation: the profile's leaf.
    pub site: Option<Site>,
    /// Leaf first. Without a site, frame 0 is the caller of the hook.
    pub frames: Vec<Frame>,
    /// Why the stack ends.
    pub end: End,
    /// What was allocated there.
    pub values: Values,
}

/// A loaded object that some frame lay in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its number in frames.
    pub id: ModuleId,
    /// First address of the executable segment in memory.
    pub start: u64,
    /// End of that segment, exclusive.
    pub limit: u64,
    /// Offset in the file that `start` was mapped from.
    pub file_offset: u64,
    /// Address in memory minus address in the file's symbol table (0 for a program that isn't PIE).
    pub load_bias: u64,
    /// File name as the dynamic loader knew it; for the program itself the target of `/proc/self/exe`.
    pub path: String,
    /// Contents of the `NT_GNU_BUILD_ID` note; empty when there is none.
    pub build_id: Vec<u8>,
    /// Whether the object is still loaded at that place: only then may the process's own symbols name its addresses.
    pub loaded: bool,
}

/// What the tables held at one moment, or the difference of two such moments.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Wall-clock time, nanoseconds since the epoch.
    pub time_nanos: i64,
    /// 0 for a snapshot; the time between the two for a difference.
    pub duration_nanos: i64,
    /// Mean bytes between samples when the snapshot was taken.
    pub interval_bytes: u64,
    /// Stacks with any non-zero value, by `id` ascending.
    pub stacks: Vec<StackRecord>,
    /// Every object that a frame names, by id ascending.
    pub modules: Vec<Module>,
    /// Counters at that time.
    pub stats: Stats,
}
