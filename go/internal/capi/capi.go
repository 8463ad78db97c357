//go:build linux && amd64 && cgo

package capi

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include -DCGOHEAP_NO_REDIRECT

#include <cgoheap.h>

// None of these calls back into Go; only cgoheap_start_count keeps pointers.
#cgo noescape cgoheap_result_text
#cgo nocallback cgoheap_result_text
#cgo noescape cgoheap_mark
#cgo nocallback cgoheap_mark
#cgo nocallback cgoheap_start_count
#cgo noescape cgoheap_stop_count
#cgo nocallback cgoheap_stop_count
#cgo noescape cgoheap_snapshot_take
#cgo nocallback cgoheap_snapshot_take
#cgo noescape cgoheap_snapshot_take_filtered
#cgo nocallback cgoheap_snapshot_take_filtered
#cgo noescape cgoheap_snapshot_free
#cgo nocallback cgoheap_snapshot_free
#cgo noescape cgoheap_snapshot_subtract
#cgo nocallback cgoheap_snapshot_subtract
#cgo noescape cgoheap_snapshot_go_pcs
#cgo nocallback cgoheap_snapshot_go_pcs
#cgo noescape cgoheap_snapshot_name_go
#cgo nocallback cgoheap_snapshot_name_go
#cgo noescape cgoheap_snapshot_encode
#cgo nocallback cgoheap_snapshot_encode
#cgo noescape cgoheap_buffer_free
#cgo nocallback cgoheap_buffer_free
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"

	_ "github.com/cgoheap/cgoheap/go/internal/lib/linux_amd64" // links the archive
)

// Mark draws a line between blocks, for [TakeSince].
func Mark() uint32 {
	return uint32(C.cgoheap_mark())
}

// Count is an exact count of allocations that is under way.
type Count struct {
	c C.int
	// The timer's memory stays where it is while the C side looks at it.
	pinner runtime.Pinner
}

// StartCount counts allocations exactly, in the whole process and instead of sampling, while *running is true. Setting *mark
// to 0 sets the count to 0; until [Count.Stop] its topmost bit belongs to the C side. Both lie in memory of Go.
func StartCount(running *bool, mark *uint64) (*Count, error) {
	c := new(Count)
	c.pinner.Pin(running)
	c.pinner.Pin(mark)
	status := C.cgoheap_start_count((*C.uchar)(unsafe.Pointer(running)), (*C.ulonglong)(unsafe.Pointer(mark)), &c.c)
	if err := Failure("starting an exact count", int(status)); err != nil {
		c.pinner.Unpin()
		return nil, err
	}
	return c, nil
}

// Stop ends the count and returns the allocations and bytes that were counted since its start or the last reset.
func (c *Count) Stop() (objects, bytes uint64, err error) {
	var o, b C.ulonglong
	status := C.cgoheap_stop_count(c.c, &o, &b)
	c.pinner.Unpin()
	return uint64(o), uint64(b), Failure("stopping an exact count", int(status))
}

// Snapshot is a copy of the tables on the C side. One goroutine may use it at a time.
type Snapshot struct {
	c *C.cgoheap_snapshot
}

// Take copies the tables. The caller frees the copy.
func Take() (*Snapshot, error) {
	return taken(C.cgoheap_snapshot_take())
}

// TakeSince copies what is live of the blocks allocated since a mark; 0 stands for all live blocks. The caller frees the
// copy.
func TakeSince(mark uint32) (*Snapshot, error) {
	filter := C.struct_cgoheap_filter{since_mark: C.uint(mark), max_age_nanos: ^C.ulonglong(0)}
	return taken(C.cgoheap_snapshot_take_filtered(&filter))
}

func taken(c *C.cgoheap_snapshot) (*Snapshot, error) {
	if c == nil {
		return nil, fmt.Errorf("cgoheap: no memory to copy the tables")
	}
	return &Snapshot{c}, nil
}

// Free gives the copy back.
func (s *Snapshot) Free() {
	C.cgoheap_snapshot_free(s.c)
	s.c = nil
}

// Subtract turns s into the difference s - earlier.
func (s *Snapshot) Subtract(earlier *Snapshot) error {
	return Failure("subtracting two snapshots", int(C.cgoheap_snapshot_subtract(s.c, earlier.c)))
}

// Encode names all addresses and returns the profile: as gzipped protocol buffer when debug is 0, else as text.
func (s *Snapshot) Encode(debug int) ([]byte, error) {
	if debug != 0 {
		return s.encode(C.CGOHEAP_FORMAT_TEXT)
	}
	return s.encode(C.CGOHEAP_FORMAT_PROTO)
}

func (s *Snapshot) encode(format C.int) ([]byte, error) {
	var pcs *C.ulonglong
	var n C.size_t
	if err := Failure("reading the Go addresses", int(C.cgoheap_snapshot_go_pcs(s.c, &pcs, &n))); err != nil {
		return nil, err
	}
	if n > 0 {
		// The addresses are the snapshot's own memory, which stays as it is until free.
		table := nameTable(unsafe.Slice((*uint64)(unsafe.Pointer(pcs)), int(n)))
		status := C.cgoheap_snapshot_name_go(s.c, unsafe.Pointer(&table[0]), C.size_t(len(table)))
		if err := Failure("naming the Go addresses", int(status)); err != nil {
			return nil, err
		}
	}
	var bytes *C.uchar
	var length C.size_t
	if err := Failure("encoding the profile", int(C.cgoheap_snapshot_encode(s.c, format, &bytes, &length))); err != nil {
		return nil, err
	}
	// A copy, since a Writer is not trusted to let go of what it was given.
	data := append([]byte(nil), unsafe.Slice((*byte)(bytes), int(length))...)
	C.cgoheap_buffer_free(bytes, length)
	return data, nil
}

// Failure turns a result code of the C side into an error that says what was being done.
func Failure(doing string, result int) error {
	if result == C.CGOHEAP_OK {
		return nil
	}
	return fmt.Errorf("cgoheap: %s: %s", doing, C.GoString(C.cgoheap_result_text(C.int(result))))
}
