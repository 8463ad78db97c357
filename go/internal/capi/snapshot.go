//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <cgoheap.h>

#cgo noescape cgoheap_mark
#cgo nocallback cgoheap_mark
#cgo noescape cgoheap_snapshot_take
#cgo nocallback cgoheap_snapshot_take
#cgo noescape cgoheap_snapshot_take_filtered
#cgo nocallback cgoheap_snapshot_take_filtered
#cgo noescape cgoheap_snapshot_free
#cgo nocallback cgoheap_snapshot_free
#cgo noescape cgoheap_snapshot_subtract
#cgo nocallback cgoheap_snapshot_subtract
#cgo noescape cgoheap_snapshot_since
#cgo nocallback cgoheap_snapshot_since
#cgo noescape cgoheap_snapshot_values
#cgo nocallback cgoheap_snapshot_values
#cgo noescape cgoheap_snapshot_limit
#cgo nocallback cgoheap_snapshot_limit
#cgo noescape cgoheap_snapshot_keep
#cgo nocallback cgoheap_snapshot_keep
#cgo noescape cgoheap_snapshot_stacks
#cgo nocallback cgoheap_snapshot_stacks
#cgo noescape cgoheap_snapshot_go_pcs
#cgo nocallback cgoheap_snapshot_go_pcs
#cgo noescape cgoheap_snapshot_name_go
#cgo nocallback cgoheap_snapshot_name_go
#cgo noescape cgoheap_snapshot_encode
#cgo nocallback cgoheap_snapshot_encode
#cgo noescape cgoheap_buffer_free
#cgo nocallback cgoheap_buffer_free
#cgo noescape cgoheap_largest_stacks
#cgo nocallback cgoheap_largest_stacks
*/
import "C"

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"
)

// Mark draws a line between the blocks allocated before and after it, for [Filter.SinceMark]. It is never 0.
func Mark() uint32 {
	return uint32(C.cgoheap_mark())
}

// Snapshot is a copy of the tables on the C side. One goroutine may use it at a time.
type Snapshot struct {
	c *C.cgoheap_snapshot
}

// Take copies the tables, as [TakeFiltered] does with the zero [Filter]. The caller frees the copy.
func Take() (*Snapshot, error) {
	return newSnapshot(C.cgoheap_snapshot_take())
}

// TakeFiltered copies the live blocks that pass. The caller frees the copy.
func TakeFiltered(f Filter) (*Snapshot, error) {
	filter := cFilter(f)
	return newSnapshot(C.cgoheap_snapshot_take_filtered(&filter))
}

// Values copies the values alone, without stacks. The caller frees the copy.
func (s *Snapshot) Values() (*Snapshot, error) {
	return newSnapshot(C.cgoheap_snapshot_values(s.c))
}

func newSnapshot(c *C.cgoheap_snapshot) (*Snapshot, error) {
	if c == nil {
		return nil, fmt.Errorf("cgoheap: no memory to copy the tables")
	}
	return &Snapshot{c}, nil
}

func cFilter(f Filter) C.struct_cgoheap_filter {
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

// Free gives the copy back.
func (s *Snapshot) Free() {
	C.cgoheap_snapshot_free(s.c)
	s.c = nil
}

// Subtract turns s into the difference s - earlier.
func (s *Snapshot) Subtract(earlier *Snapshot) error {
	return failure("subtracting two snapshots", C.cgoheap_snapshot_subtract(s.c, earlier.c))
}

// Since turns s into what a scraper adds up: alloc values since earlier (nil: since the start), inuse values as they are.
func (s *Snapshot) Since(earlier *Snapshot) error {
	var c *C.cgoheap_snapshot
	if earlier != nil {
		c = earlier.c
	}
	return failure("comparing two snapshots", C.cgoheap_snapshot_since(s.c, c))
}

// Limit keeps the n largest stacks and adds up the rest as "[other]".
func (s *Snapshot) Limit(n int) error {
	return failure("limiting a snapshot", C.cgoheap_snapshot_limit(s.c, C.size_t(n)))
}

// Keep keeps the stacks with these numbers.
func (s *Snapshot) Keep(ids []uint32) error {
	return failure("choosing stacks", C.cgoheap_snapshot_keep(s.c, (*C.uint)(unsafe.SliceData(ids)), C.size_t(len(ids))))
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

// LargestStacks returns at most n stacks with most bytes in live blocks that pass the filter, largest first. Alloc values
// are those since the start.
func LargestStacks(f Filter, n int) []Stack {
	if n <= 0 {
		return nil
	}
	// Most programs have few stacks: room for n of them would be garbage that Go collects after every call.
	room := min(n, int(2*mostStacks.Load()+64))
	for {
		out := make([]C.struct_cgoheap_stack, room)
		filter := cFilter(f)
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

// Encode names all addresses and returns the profile: as gzipped protocol buffer when debug is 0, else as text.
func (s *Snapshot) Encode(debug int) ([]byte, error) {
	if debug != 0 {
		return s.encode(C.CGOHEAP_FORMAT_TEXT)
	}
	return s.encode(C.CGOHEAP_FORMAT_PROTO)
}

// EncodeEach returns the profile with one sample for each of [Snapshot.Stacks], even where two look the same.
func (s *Snapshot) EncodeEach() ([]byte, error) {
	return s.encode(C.CGOHEAP_FORMAT_EACH)
}

func (s *Snapshot) encode(format C.int) ([]byte, error) {
	var pcs *C.ulonglong
	var n C.size_t
	if err := failure("reading the Go addresses", C.cgoheap_snapshot_go_pcs(s.c, &pcs, &n)); err != nil {
		return nil, err
	}
	if n > 0 {
		// The addresses are the snapshot's own memory, which stays as it is until free.
		table := nameTable(unsafe.Slice((*uint64)(unsafe.Pointer(pcs)), int(n)))
		status := C.cgoheap_snapshot_name_go(s.c, unsafe.Pointer(&table[0]), C.size_t(len(table)))
		if err := failure("naming the Go addresses", status); err != nil {
			return nil, err
		}
	}
	var bytes *C.uchar
	var length C.size_t
	if err := failure("encoding the profile", C.cgoheap_snapshot_encode(s.c, format, &bytes, &length)); err != nil {
		return nil, err
	}
	// A copy in Go's memory: the Writer that it goes to may keep it.
	data := append([]byte(nil), unsafe.Slice((*byte)(bytes), int(length))...)
	C.cgoheap_buffer_free(bytes, length)
	return data, nil
}
