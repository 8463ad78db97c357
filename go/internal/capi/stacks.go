//go:build linux && amd64 && cgo

package capi

/*
#include <cgoheap.h>
#include <malloc.h>

#cgo noescape cgoheap_snapshot_since
#cgo nocallback cgoheap_snapshot_since
#cgo noescape cgoheap_snapshot_values
#cgo nocallback cgoheap_snapshot_values
#cgo noescape cgoheap_snapshot_limit
#cgo nocallback cgoheap_snapshot_limit
#cgo noescape cgoheap_largest_stacks
#cgo nocallback cgoheap_largest_stacks
#cgo noescape cgoheap_snapshot_keep
#cgo nocallback cgoheap_snapshot_keep
#cgo noescape cgoheap_snapshot_stacks
#cgo nocallback cgoheap_snapshot_stacks
#cgo noescape cgoheap_own_ranges
#cgo nocallback cgoheap_own_ranges
#cgo nocallback cgoheap_glibc_trim

// glibc 2.33 has mallinfo2; the oldest that cgoheap knows is 2.35.
struct cgoheap_glibc {
	unsigned long long arenas, mmapped, mmapped_chunks, used, free;
};

static void cgoheap_glibc_read(struct cgoheap_glibc *out) {
	struct mallinfo2 m = mallinfo2();
	out->arenas = m.arena;
	out->mmapped = m.hblkhd;
	out->mmapped_chunks = m.hblks;
	out->used = m.uordblks;
	out->free = m.fordblks;
}

static int cgoheap_glibc_trim(void) { return malloc_trim(0); }
*/
import "C"

import (
	"math"
	"sync/atomic"
	"time"
	"unsafe"
)

// Stack holds the totals of one stack on the C side; ID is its number as long as the process runs.
type Stack struct {
	ID                                                 uint32
	AllocObjects, AllocBytes, InuseObjects, InuseBytes int64
}

// Filter says which live blocks are wanted. The zero value stands for all.
type Filter struct {
	SinceMark uint32
	MinAge    time.Duration
	MaxAge    time.Duration // 0: no limit
	ByAge     bool          // samples carry the label "age"
	Peak      bool          // what was live when it was most; no ages then
}

func (f Filter) c() C.struct_cgoheap_filter {
	filter := C.struct_cgoheap_filter{
		since_mark:    C.uint(f.SinceMark),
		min_age_nanos: C.ulonglong(f.MinAge),
		max_age_nanos: math.MaxUint64,
	}
	if f.MaxAge > 0 {
		filter.max_age_nanos = C.ulonglong(f.MaxAge)
	}
	if f.ByAge {
		filter.flags |= C.CGOHEAP_FILTER_BY_AGE
	}
	if f.Peak {
		filter.flags |= C.CGOHEAP_FILTER_PEAK
	}
	return filter
}

// TakeFiltered copies the live blocks that pass. The caller frees the copy.
func TakeFiltered(f Filter) (*Snapshot, error) {
	filter := f.c()
	return taken(C.cgoheap_snapshot_take_filtered(&filter))
}

// LargestStacks returns at most n stacks with most bytes in live blocks that pass the filter, largest first. Alloc values
// are those since the start.
func LargestStacks(f Filter, n int) []Stack {
	if n <= 0 {
		return nil
	}
	// Most programs have few stacks: no room for all that may come, which would be Go's garbage at every look.
	room := min(n, int(2*mostStacks.Load()+64))
	for {
		out := make([]C.struct_cgoheap_stack, room)
		filter := f.c()
		found := int(C.cgoheap_largest_stacks(&filter, &out[0], C.size_t(room)))
		if found < room || room == n {
			mostStacks.Store(int64(max(found, int(mostStacks.Load()))))
			return goStacks(out[:found])
		}
		room = min(n, 4*room)
	}
}

// mostStacks is the largest number that [LargestStacks] has found so far.
var mostStacks atomic.Int64

func goStacks(c []C.struct_cgoheap_stack) []Stack {
	stacks := make([]Stack, len(c))
	for i, s := range c {
		stacks[i] = Stack{uint32(s.id), int64(s.alloc_objects), int64(s.alloc_bytes), int64(s.inuse_objects), int64(s.inuse_bytes)}
	}
	return stacks
}

// Since turns s into what a scraper adds up: alloc values since earlier (nil: since the start), inuse values as they are.
func (s *Snapshot) Since(earlier *Snapshot) error {
	var c *C.cgoheap_snapshot
	if earlier != nil {
		c = earlier.c
	}
	return Failure("comparing two snapshots", int(C.cgoheap_snapshot_since(s.c, c)))
}

// Values copies the values alone, without stacks. The caller frees the copy.
func (s *Snapshot) Values() (*Snapshot, error) {
	return taken(C.cgoheap_snapshot_values(s.c))
}

// Limit keeps the n largest stacks and adds up the rest as "[other]".
func (s *Snapshot) Limit(n int) error {
	return Failure("limiting a snapshot", int(C.cgoheap_snapshot_limit(s.c, C.size_t(n))))
}

// Keep keeps the stacks with these numbers.
func (s *Snapshot) Keep(ids []uint32) error {
	return Failure("choosing stacks", int(C.cgoheap_snapshot_keep(s.c, (*C.uint)(unsafe.SliceData(ids)), C.size_t(len(ids)))))
}

// Stacks returns the totals of each stack, in the order in which [Snapshot.EncodeEach] writes them.
func (s *Snapshot) Stacks() []Stack {
	n := int(C.cgoheap_snapshot_stacks(s.c, nil, 0))
	if n == 0 {
		return nil
	}
	out := make([]C.struct_cgoheap_stack, n)
	C.cgoheap_snapshot_stacks(s.c, &out[0], C.size_t(n))
	return goStacks(out)
}

// EncodeEach returns the profile with one sample for each of [Snapshot.Stacks], even where two look the same.
func (s *Snapshot) EncodeEach() ([]byte, error) {
	return s.encode(C.CGOHEAP_FORMAT_EACH)
}

// Range is a piece of the address space.
type Range struct{ Start, Bytes uint64 }

// OwnRanges returns where cgoheap's own tables are mapped, in the place of what was in room.
func OwnRanges(room []Range) []Range {
	const most = 1024
	if cap(room) < most {
		room = make([]Range, most)
	}
	room = room[:most]
	// Range is laid out as struct cgoheap_range.
	n := C.cgoheap_own_ranges((*C.struct_cgoheap_range)(unsafe.Pointer(&room[0])), most)
	return room[:n]
}

// Malloc is what glibc's malloc says of itself, in bytes, over all its arenas.
type Malloc struct {
	Arenas        uint64 // taken from the system, for what is not mapped apart
	Used, Free    uint64 // of Arenas: handed out, and free to be handed out
	Mmapped       uint64 // large blocks, each a mapping of its own
	MmappedChunks uint64 // their number
}

// ReadMalloc asks glibc's malloc. It holds the lock of one arena at a time while it walks over what is free in it.
func ReadMalloc() Malloc {
	var m C.struct_cgoheap_glibc
	C.cgoheap_glibc_read(&m)
	return Malloc{uint64(m.arenas), uint64(m.used), uint64(m.free), uint64(m.mmapped), uint64(m.mmapped_chunks)}
}

// Trim has glibc give free memory back to the system; it says whether there was any.
func Trim() (bool, error) {
	return C.cgoheap_glibc_trim() != 0, nil
}
