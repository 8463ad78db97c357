package capi

import "time"

// What the C side tells: the same on every platform.

// Platforms names the platforms on which [Supported] can be true, for messages.
const Platforms = "linux/amd64, linux/arm64"

// Stats holds totals of the process since it started. The fields are described in package cgoheap, whose Stats has the same.
type Stats struct {
	Rate                              int
	AllocObjects, AllocBytes          uint64
	LiveObjects, LiveBytes            uint64
	AllocBytesMargin, LiveBytesMargin uint64
	LiveBytesInDoubt                  uint64
	PeakBytes                         uint64
	PeakTime                          time.Time
	Samples, LiveSamples, Stacks      uint64
	OwnBytes                          uint64
	GoFrames                          bool
	Interpose                         int // enum cgoheap_interpose_state
	Lost                              Lost
}

// Lost counts what was dropped, cut short or mended. It is assigned as a whole to the field of the same name in package
// cgoheap's Stats, so a counter that is missing in one of the two doesn't compile.
type Lost struct {
	SamplesNoMemory     uint64
	SamplesLockBusy     uint64
	StacksTableFull     uint64
	FreesLockBusy       uint64
	FreesUnseen         uint64
	StacksTooDeep       uint64
	StacksNoUnwindInfo  uint64
	StacksBadUnwindInfo uint64
	StacksUnreadable    uint64
	StacksGoSystem      uint64
	StacksGoOff         uint64
	StacksBadGo         uint64
	StacksNoRoom        uint64
	ModulesTableFull    uint64
	OwnMemoryRefused    uint64
}

// Stack holds the totals of one stack on the C side; ID is its number as long as the process runs.
type Stack struct {
	ID                                                 uint32
	AllocObjects, AllocBytes, InuseObjects, InuseBytes int64
}

// Filter says which live blocks are wanted. The zero value stands for all.
type Filter struct {
	SinceMark uint32        // allocated since this [Mark]; 0: no limit
	MinAge    time.Duration // 0: no limit
	MaxAge    time.Duration // 0: no limit
	ByAge     bool          // samples carry the label "age"
	Peak      bool          // what was live when live memory was highest; no ages then
}

// Range is a piece of the address space, in bytes.
type Range struct{ Start, Bytes uint64 }

// Malloc is what the C library's malloc says of itself, in bytes, over all its arenas.
type Malloc struct {
	Arenas        uint64 // taken from the system, for what is not mapped apart
	Used, Free    uint64 // of Arenas: handed out, and free to be handed out
	Mmapped       uint64 // large blocks, each a mapping of its own
	MmappedChunks uint64 // their number
}

// DumpReason says why a dump is written: enum cgoheap_dump_reason.
type DumpReason int

// Probe is what a C function that Go called found when it looked at its own stack.
type Probe struct {
	Failed   bool
	NoTables bool      // why it failed: the program has no unwind tables for C code
	Boundary uintptr   // return address into what should be runtime.asmcgocall
	Callback uintptr   // return address into what should be crosscall2; 0 when Go was not called from C
	PCs      []uintptr // Go return addresses, innermost first
}
