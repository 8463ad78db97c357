package cgoheap

import (
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// Stats holds totals of the process and what was lost on the way; see [ReadStats]. Objects and bytes are estimates of
// the memory that was asked for, scaled up from the samples, and exact as long as the rate was 1.
type Stats struct {
	// Rate is the mean number of bytes between samples; 0 is off.
	Rate int

	// AllocObjects and AllocBytes count what was allocated since the program started.
	AllocObjects, AllocBytes uint64
	// LiveObjects and LiveBytes count what is not freed yet.
	LiveObjects, LiveBytes uint64

	// AllocBytesMargin and LiveBytesMargin say how exact the two are: estimate ± margin holds the truth 95 times in
	// 100. They are 0 at rate 1. LiveBytesMargin includes LiveBytesInDoubt.
	AllocBytesMargin, LiveBytesMargin uint64
	// LiveBytesInDoubt is how many of LiveBytes may be freed, by code that cgoheap doesn't see: it is 0 unless blocks were found
	// that such code had freed (Lost.FreesUnseen). Then of what is live from the same calls so large a share is in doubt as
	// had been freed that way, of all that was freed.
	LiveBytesInDoubt uint64

	// PeakBytes is the highest LiveBytes so far, to one part in 256, and PeakTime when that was; zero: nothing sampled yet.
	PeakBytes uint64
	PeakTime  time.Time
	// Samples is the number of allocations sampled since the program started.
	Samples uint64
	// LiveSamples is the number of sampled blocks that are not freed yet.
	LiveSamples uint64
	// Stacks is the number of distinct stacks known.
	Stacks uint64
	// OwnBytes is the memory that cgoheap has mapped for its tables, in bytes.
	OwnBytes uint64

	// GoFrames says whether stacks run on from C into Go.
	GoFrames bool
	// GoFramesProblem says why they don't; it is empty when they do.
	GoFramesProblem string

	// Interpose says what the package [github.com/cgoheap/cgoheap/go/interpose] does in this program.
	Interpose Interpose

	// Registered says whether pprof.Lookup("cgoheap") serves the profile, and with it the /debug/pprof/ page.
	Registered bool
	// RegisteredProblem says why it doesn't; it is empty when it does. [Handler] and [WriteHeapProfile] work anyway.
	RegisteredProblem string

	// Lost counts what was dropped, cut short or mended since the program started, by reason.
	Lost struct {
		// SamplesNoMemory counts samples dropped because the system gave no memory for the tables.
		SamplesNoMemory uint64
		// SamplesLockBusy counts samples dropped because a table was locked for too long.
		SamplesLockBusy uint64
		// StacksTableFull counts samples whose stack was shortened to its innermost frames and the Go caller, or that have none: too
		// many distinct stacks.
		StacksTableFull uint64
		// FreesLockBusy counts frees of sampled blocks that could not be recorded: the block stays in the profile
		// until its address is allocated again.
		FreesLockBusy uint64
		// FreesUnseen counts sampled blocks that code without hooks freed, noticed when the address was allocated again. See
		// LiveBytesInDoubt.
		FreesUnseen uint64
		// StacksTooDeep counts stacks cut at the greatest depth kept.
		StacksTooDeep uint64
		// StacksNoUnwindInfo counts stacks that end at code without unwind tables.
		StacksNoUnwindInfo uint64
		// StacksBadUnwindInfo counts stacks that end at an unwind table that can't be used.
		StacksBadUnwindInfo uint64
		// StacksUnreadable counts stacks that end at memory that can't be read.
		StacksUnreadable uint64
		// StacksGoSystem counts stacks of C code that the Go runtime called for itself: there is no goroutine to follow.
		StacksGoSystem uint64
		// StacksGoOff counts stacks of C code called from Go while GoFrames was false.
		StacksGoOff uint64
		// StacksBadGo counts stacks whose goroutine could not be followed.
		StacksBadGo uint64
		// StacksNoRoom counts stacks that end where an unwind table had to be read and no stack was free to read it on.
		StacksNoRoom uint64
		// ModulesTableFull counts frames in loaded objects beyond those that are kept: they are unwound, but have no names.
		ModulesTableFull uint64
		// OwnMemoryRefused counts how often cgoheap asked for more memory than CGOHEAP=own= allows it. What that cost, other
		// counters say, SamplesNoMemory and StacksTableFull, and a profile's comments: objects without lines.
		OwnMemoryRefused uint64
	}
}

// Interpose is what the package github.com/cgoheap/cgoheap/go/interpose does in this program.
type Interpose int

const (
	// InterposeAbsent: not imported. What includes cgoheap.h is seen.
	InterposeAbsent Interpose = iota
	// InterposeWhole: every malloc of the process is seen.
	InterposeWhole
	// InterposeWrap: built with -tags cgoheap_wrap, every malloc in what is linked statically is seen.
	InterposeWrap
	// InterposeAside: the program has an allocator of its own, which stays. What includes cgoheap.h is seen.
	InterposeAside
	// InterposePartly: another allocator has replaced part of malloc and its relatives. Sampling is off, since blocks
	// would be seen on one side only.
	InterposePartly
	// InterposeNotLibraries: what is linked statically is seen, the program's shared libraries go elsewhere.
	InterposeNotLibraries
)

// String says it in words.
func (i Interpose) String() string {
	switch i {
	case InterposeAbsent:
		return "not imported: only code that includes cgoheap.h is seen"
	case InterposeWhole:
		return "every malloc of the process is seen"
	case InterposeWrap:
		return "cgoheap_wrap: every malloc in statically linked code is seen"
	case InterposeAside:
		return "stepped aside: the program has another allocator; only code that includes cgoheap.h is seen " +
			"(try -tags cgoheap_wrap)"
	case InterposePartly:
		return "sampling is off: another allocator has replaced part of malloc's family (try -tags cgoheap_wrap)"
	case InterposeNotLibraries:
		return "statically linked code is seen, shared libraries are not"
	}
	return "unknown"
}

// ReadStats sets *s to the current totals. It may be called from any goroutine. Where the profile is not supported all
// numbers are 0, and the two Problem fields say so.
func ReadStats(s *Stats) {
	*s = Stats{GoFramesProblem: goFramesProblem, RegisteredProblem: registeredProblem}
	s.Registered = registeredProblem == ""
	c := capi.ReadStats()
	s.Rate = c.Rate
	s.AllocObjects, s.AllocBytes = c.AllocObjects, c.AllocBytes
	s.LiveObjects, s.LiveBytes = c.LiveObjects, c.LiveBytes
	s.AllocBytesMargin, s.LiveBytesMargin = c.AllocBytesMargin, c.LiveBytesMargin
	s.LiveBytesInDoubt = c.LiveBytesInDoubt
	s.PeakBytes, s.PeakTime = c.PeakBytes, c.PeakTime
	s.Samples, s.LiveSamples, s.Stacks = c.Samples, c.LiveSamples, c.Stacks
	s.OwnBytes = c.OwnBytes
	s.GoFrames = c.GoFrames
	s.Interpose = Interpose(c.Interpose)
	s.Lost = c.Lost
}
