package memory

import "time"

// Part is one line of the breakdown. The parts add up to RSS.
type Part int

// The parts.
const (
	GoLive Part = iota
	GoDead
	GoIdle
	GoStacks
	GoRuntime
	CLive
	CMmapped
	CMore
	CFree
	ThreadStacks
	Mapped
	Files
	Code
	Own
	Unexplained
	NParts
)

// Parts describes the parts: for the page, for metrics, and where the number comes from.
var Parts = [NParts]struct{ Key, Title, Source string }{
	GoLive:       {"go_live", "Go heap, live at the last GC", "runtime/metrics: /gc/heap/live, as far as resident"},
	GoDead:       {"go_dead", "Go heap, allocated since or dead", "runtime/metrics: heap/objects - live"},
	GoIdle:       {"go_idle", "Go heap, idle but kept", "runtime/metrics: heap/free + heap/unused, as far as resident"},
	GoStacks:     {"go_stacks", "Go stacks", "runtime/metrics: heap/stacks"},
	GoRuntime:    {"go_runtime", "Go runtime and its profiles", "runtime/metrics: metadata, profiling, other"},
	CLive:        {"c_live", "C live, in malloc's arenas", "cgoheap: estimate of what was asked for, less the next line, as far as resident"},
	CMmapped:     {"c_mmapped", "C live, large blocks (mmapped chunks)", "mallinfo2: hblkhd, as far as resident"},
	CMore:        {"c_more", "C allocator: rounding, and what cgoheap doesn't see", "mallinfo2: in use, less C live"},
	CFree:        {"c_free", "C freed, kept by malloc", "mallinfo2: fordblks, as far as resident"},
	ThreadStacks: {"thread_stacks", "Thread stacks", "/proc/self/smaps: behind a guard page, [stack]"},
	Mapped:       {"mapped", "Anonymous mappings of others (mmap)", "/proc/self/smaps: what nobody above owns"},
	Files:        {"files", "Mapped files and shared memory", "/proc/self/smaps"},
	Code:         {"code", "Program and libraries", "/proc/self/smaps: files with code, their variables"},
	Own:          {"own", "cgoheap's own tables", "cgoheap, /proc/self/smaps"},
	Unexplained:  {"unexplained", "Unexplained", "RSS less all of the above"},
}

// Moment is what was measured at one time; it is of fixed size, and the history consists of it. Sizes are in bytes.
type Moment struct {
	Time     time.Time
	RSS      uint64
	Resident [NParts]uint64 // adds up to RSS

	CLive, CMargin         uint64 // estimate and its margin, resident or not
	CAlloc                 uint64 // since the start
	CElsewhere             uint64 // the part of CLive that another allocator than glibc's holds
	COverhead              uint64 // what the blocks of CLive take beside what was asked for: headers and rounding
	CTops                  uint64 // the part of Resident[CFree] that lies at the ends of thread arenas, where trim doesn't reach
	ArenaCount             uint64 // arenas of malloc, without the first
	MallocUsed, MallocFree uint64 // by glibc, resident or not, mmapped chunks included
	MallocMmapped          uint64
	MallocChunks           uint64 // of MallocMmapped
	MallocEstimated        bool   // glibc was not asked, see [Malloc.Estimated]
	MallocUnknown          bool   // glibc can't tell, see [Malloc.Unknown]
	GoMarked               uint64 // live at the last GC
	GoObjects              uint64
	Goroutines             uint64
	Threads                uint64
	GCCycles               uint64
	LastGC                 time.Time // zero: none yet
	Finalizers, Cleanups   Queue     // of runtime.SetFinalizer and runtime.AddCleanup; zero with Go before 1.26
}

// Queue is what garbage collections have found due, and what of it has run, since the start. The runtime counts finalizers that have
// run by blocks of some hundred.
type Queue struct{ Queued, Run uint64 }

// CResident is the resident part of what C has in use and cgoheap sees.
func (m *Moment) CResident() uint64 { return m.Resident[CLive] + m.Resident[CMmapped] }

// Overhead is the resident part of COverhead.
func (m *Moment) Overhead() uint64 { return min(m.COverhead, m.Resident[CMore]) }

// Runtime is what Go's runtime says of its memory, in bytes, resident or not (package runtime/metrics).
type Runtime struct {
	Objects, Unused, Free, Released, Stacks uint64 // of the heap
	Metadata                                uint64 // all that is not the heap's
	Marked                                  uint64 // live at the last GC
	Goroutines, Threads, Cycles             uint64
	Finalizers, Cleanups                    Queue
}

// Hooks is what cgoheap says of the memory that it sees: estimates of what was asked for, in bytes.
type Hooks struct {
	Live, Margin, Alloc uint64
	LiveObjects         uint64
	AllocObjects        uint64
	Whole               bool // every malloc of the process is seen
}
