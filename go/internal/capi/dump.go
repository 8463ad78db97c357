//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <cgoheap.h>

#cgo noescape cgoheap_dump_asked
#cgo nocallback cgoheap_dump_asked
#cgo noescape cgoheap_dump_wait
#cgo nocallback cgoheap_dump_wait
#cgo noescape cgoheap_dump_store
#cgo nocallback cgoheap_dump_store
*/
import "C"

import (
	"os"
	"syscall"
	"unsafe"
)

// DumpSignal is the reason that the C side doesn't know of by itself.
const DumpSignal DumpReason = C.CGOHEAP_DUMP_SIGNAL

// DumpSettings says which dumps the environment asks for: those at thresholds, and those on a signal, nil for none. It
// complains on stderr when they could not be written.
func DumpSettings() (automatic bool, signal os.Signal) {
	var a, number C.int
	C.cgoheap_dump_asked(&a, &number)
	if number != 0 {
		signal = syscall.Signal(number)
	}
	return a != 0, signal
}

// WaitForDump blocks its thread until live memory has passed the next threshold.
func WaitForDump() DumpReason {
	var reason C.int
	C.cgoheap_dump_wait(&reason)
	return DumpReason(reason)
}

// StoreDump writes a profile to the next file, and says on stderr where or why not.
func StoreDump(profile []byte, reason DumpReason) error {
	status := C.cgoheap_dump_store(unsafe.Pointer(unsafe.SliceData(profile)), C.size_t(len(profile)), C.int(reason))
	return failure("writing a dump", status)
}
