//go:build !(linux && amd64 && cgo)

package capi

import (
	"errors"
	"time"
)

// Supported says whether this program has the C side: here it has not, and every function that can fail says so.
const Supported = false

// Mark draws no line.
func Mark() uint32 { return 0 }

// Count is never made.
type Count struct{}

// StartCount is not supported.
func StartCount(*bool, *uint64) (*Count, error) { return nil, errors.ErrUnsupported }

// Stop is not supported.
func (*Count) Stop() (objects, bytes uint64, err error) { return 0, 0, errors.ErrUnsupported }

// Snapshot is never made.
type Snapshot struct{}

// Take is not supported.
func Take() (*Snapshot, error) { return nil, errors.ErrUnsupported }

// TakeSince is not supported.
func TakeSince(uint32) (*Snapshot, error) { return nil, errors.ErrUnsupported }

// Free does nothing.
func (*Snapshot) Free() {}

// Subtract is not supported.
func (*Snapshot) Subtract(*Snapshot) error { return errors.ErrUnsupported }

// Encode is not supported.
func (*Snapshot) Encode(int) ([]byte, error) { return nil, errors.ErrUnsupported }

// Stack is described where cgoheap is supported; so is the rest.
type Stack struct {
	ID                                                 uint32
	AllocObjects, AllocBytes, InuseObjects, InuseBytes int64
}

// Filter chooses from nothing.
type Filter struct {
	SinceMark      uint32
	MinAge, MaxAge time.Duration
	ByAge, Peak    bool
}

// TakeFiltered is not supported.
func TakeFiltered(Filter) (*Snapshot, error) { return nil, errors.ErrUnsupported }

// LargestStacks returns none.
func LargestStacks(Filter, int) []Stack { return nil }

// Since is not supported.
func (*Snapshot) Since(*Snapshot) error { return errors.ErrUnsupported }

// Values is not supported.
func (*Snapshot) Values() (*Snapshot, error) { return nil, errors.ErrUnsupported }

// Limit is not supported.
func (*Snapshot) Limit(int) error { return errors.ErrUnsupported }

// Keep is not supported.
func (*Snapshot) Keep([]uint32) error { return errors.ErrUnsupported }

// Stacks returns none.
func (*Snapshot) Stacks() []Stack { return nil }

// EncodeEach is not supported.
func (*Snapshot) EncodeEach() ([]byte, error) { return nil, errors.ErrUnsupported }

// Range is a piece of the address space.
type Range struct{ Start, Bytes uint64 }

// OwnRanges returns none.
func OwnRanges([]Range) []Range { return nil }

// Malloc is all zero.
type Malloc struct {
	Arenas, Used, Free, Mmapped, MmappedChunks uint64
}

// ReadMalloc knows nothing.
func ReadMalloc() Malloc { return Malloc{} }

// Trim is not supported.
func Trim() (bool, error) { return false, errors.ErrUnsupported }
