//go:build !(linux && (amd64 || arm64) && cgo)

package capi

import (
	"errors"
	"os"
	"time"
)

// Supported says whether this program has the C side: here it has not, and every function that can fail says so.
const Supported = false

// SetRate does nothing.
func SetRate(int64) {}

// Rate is 0: off.
func Rate() int { return 0 }

// ReadStats knows nothing.
func ReadStats() Stats { return Stats{} }

// OwnRanges returns none.
func OwnRanges([]Range) []Range { return nil }

// Mark draws no line.
func Mark() uint32 { return 0 }

// Snapshot is never made.
type Snapshot struct{}

// Take is not supported.
func Take() (*Snapshot, error) { return nil, errors.ErrUnsupported }

// TakeFiltered is not supported.
func TakeFiltered(Filter) (*Snapshot, error) { return nil, errors.ErrUnsupported }

// Values is not supported.
func (*Snapshot) Values() (*Snapshot, error) { return nil, errors.ErrUnsupported }

// Free does nothing.
func (*Snapshot) Free() {}

// Subtract is not supported.
func (*Snapshot) Subtract(*Snapshot) error { return errors.ErrUnsupported }

// Since is not supported.
func (*Snapshot) Since(*Snapshot) error { return errors.ErrUnsupported }

// Limit is not supported.
func (*Snapshot) Limit(int) error { return errors.ErrUnsupported }

// Keep is not supported.
func (*Snapshot) Keep([]uint32) error { return errors.ErrUnsupported }

// Stacks returns none.
func (*Snapshot) Stacks() []Stack { return nil }

// LargestStacks returns none.
func LargestStacks(Filter, int) []Stack { return nil }

// Encode is not supported.
func (*Snapshot) Encode(int) ([]byte, error) { return nil, errors.ErrUnsupported }

// EncodeEach is not supported.
func (*Snapshot) EncodeEach() ([]byte, error) { return nil, errors.ErrUnsupported }

// Count is never made.
type Count struct{}

// StartCount is not supported.
func StartCount(*bool, *uint64) (*Count, error) { return nil, errors.ErrUnsupported }

// Stop is not supported.
func (*Count) Stop() (objects, bytes uint64, err error) { return 0, 0, errors.ErrUnsupported }

// DumpSignal is no reason here.
const DumpSignal DumpReason = 0

// DumpSettings asks for no dumps.
func DumpSettings() (automatic bool, signal os.Signal) { return false, nil }

// WaitForDump returns at once.
func WaitForDump() DumpReason { return 0 }

// StoreDump is not supported.
func StoreDump([]byte, DumpReason) error { return errors.ErrUnsupported }

// The functions that a probe would find.
const (
	ProbeName     = ""
	ProbeStubName = ""
	CallbackName  = ""
)

// ProbeStack finds nothing.
func ProbeStack() Probe { return Probe{Failed: true} }

// ProbeCallback finds nothing.
func ProbeCallback() Probe { return Probe{Failed: true} }

// JoinGo is not supported.
func JoinGo(boundary, callback uintptr) error { return errors.ErrUnsupported }

// RefuseGo does nothing: there are no stacks.
func RefuseGo() {}

// MallocTells is false.
func MallocTells() bool { return false }

// ReadMalloc knows nothing.
func ReadMalloc() Malloc { return Malloc{} }

// Trim is not supported.
func Trim() (bool, error) { return false, errors.ErrUnsupported }

// Sleep is time.Sleep.
func Sleep(d time.Duration) { time.Sleep(d) }

// SleepOutside is time.Sleep.
func SleepOutside(d time.Duration) { time.Sleep(d) }

var start = time.Now()

// Monotonic is the time since the start.
func Monotonic() time.Duration { return time.Since(start) }

// ReadTimeZone does nothing.
func ReadTimeZone() {}

// SetEnvironment does nothing.
func SetEnvironment() {}

// HandOut does nothing.
func HandOut() (free func()) { return func() {} }

// PagesResident knows nothing.
func PagesResident(uint64, []byte) bool { return false }

// StackSize is not known.
func StackSize() uint64 { return 0 }

// FileInMemory knows nothing.
func FileInMemory(string) bool { return false }
