//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <cgoheap.h>

// cgoheap_start_count keeps pointers.
#cgo nocallback cgoheap_start_count
#cgo noescape cgoheap_stop_count
#cgo nocallback cgoheap_stop_count
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Count is an exact count of allocations that is under way.
type Count struct {
	c C.int
	// running and mark stay where they are while the C side reads them.
	pinner runtime.Pinner
}

// StartCount counts allocations exactly, in the whole process and instead of sampling, while *running is true. Setting *mark
// to 0 sets the count to 0; until [Count.Stop] its topmost bit belongs to the C side. Both lie in memory of Go.
func StartCount(running *bool, mark *uint64) (*Count, error) {
	c := new(Count)
	c.pinner.Pin(running)
	c.pinner.Pin(mark)
	status := C.cgoheap_start_count((*C.uchar)(unsafe.Pointer(running)), (*C.ulonglong)(unsafe.Pointer(mark)), &c.c)
	if err := failure("starting an exact count", status); err != nil {
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
	return uint64(o), uint64(b), failure("stopping an exact count", status)
}
