package cgoheap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/calibrate"
	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// ErrUnsupported is what [WriteHeapProfile] returns in a program that has no C memory profile: on another platform than
// linux/amd64, or built without cgo. It is also an [errors.ErrUnsupported].
var ErrUnsupported = fmt.Errorf("cgoheap: needs %s and cgo, and this is %s/%s or built without cgo: %w",
	capi.Platforms, runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)

// profileName is what runtime/pprof and clients know the profile by.
const profileName = "cgoheap"

// maxRate is the greatest rate that the C side accepts.
const maxRate = 1 << 40

// SetRate sets the mean number of bytes between two sampled allocations: 1 samples every allocation, and 0 or less turns
// sampling off. Blocks that are sampled already stay in the profile until they are freed. It takes effect at the
// next allocation of every thread, and may be called at any time from any goroutine. Rates above 1 TiB count as 1 TiB.
//
// What Go calls a rate is an interval elsewhere, and a period in the profile itself.
func SetRate(bytes int) {
	if bytes < 0 {
		bytes = 0
	}
	capi.SetRate(min(int64(bytes), maxRate))
}

// Rate returns the mean number of bytes between two samples: 0 when sampling is off, or not supported. It may be
// called from any goroutine.
func Rate() int {
	return capi.Rate()
}

// WriteHeapProfile writes the current profile to w, as gzipped protocol buffer: what /debug/pprof/cgoheap serves.
// The error is [ErrUnsupported], or says what failed, or is w's own. It may be called from any goroutine; at most four
// profiles are made at the same time, and further calls wait.
func WriteHeapProfile(w io.Writer) error {
	return writeProfile(w, 0)
}

// writeProfile writes the profile to w: as gzipped protocol buffer when debug is 0, else as text.
func writeProfile(w io.Writer, debug int) error {
	if !capi.Supported {
		return ErrUnsupported
	}
	if err := encoders.acquire(context.Background()); err != nil {
		return err
	}
	data, err := collect(debug, capi.Filter{})
	encoders.release() // before the write, which may be as slow as its reader
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// collect takes a snapshot of the blocks that pass and encodes it.
func collect(debug int, filter capi.Filter) ([]byte, error) {
	s, err := capi.TakeFiltered(filter)
	if err != nil {
		return nil, err
	}
	defer s.Free()
	return s.Encode(debug)
}

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
	// 100. They are 0 at rate 1.
	AllocBytesMargin, LiveBytesMargin uint64

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
		// StacksTableFull counts samples that were recorded without their stack: too many distinct stacks.
		StacksTableFull uint64
		// FreesLockBusy counts frees of sampled blocks that could not be recorded: the block stays in the profile
		// until its address is allocated again.
		FreesLockBusy uint64
		// FreesUnseen counts sampled blocks that code without cgoheap.h freed, noticed when the address was allocated again.
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
		// ModulesTableFull counts loaded objects beyond those that are kept: their frames have no names.
		ModulesTableFull uint64
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
	s.PeakBytes, s.PeakTime = c.PeakBytes, c.PeakTime
	s.Samples, s.LiveSamples, s.Stacks = c.Samples, c.LiveSamples, c.Stacks
	s.OwnBytes = c.OwnBytes
	s.GoFrames = c.GoFrames
	s.Interpose = Interpose(c.Interpose)
	s.Lost = c.Lost
}

// The results of the checks at start, which [ReadStats] hands on; empty when all is well. Written while the package is
// initialised and never after that.
var (
	goFramesProblem   = notChecked
	registeredProblem = notChecked
)

const notChecked = "not supported on this platform, or built without cgo"

func init() {
	if !capi.Supported {
		return
	}
	goFramesProblem = calibrate.GoFrames()
	registeredProblem = register()
	startDumps()
}
