//go:build linux && amd64 && cgo

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

import "unsafe"

// DumpReason says why a dump is written.
type DumpReason int

// DumpSignal is the reason that the C side doesn't know of by itself.
const DumpSignal DumpReason = C.CGOHEAP_DUMP_SIGNAL

// DumpsAsked says which dumps the environment asks for: those at thresholds, and the number of the signal, 0 for none. It
// complains on stderr when they could not be written.
func DumpsAsked() (automatic bool, signal int) {
	var a, s C.int
	C.cgoheap_dump_asked(&a, &s)
	return a != 0, int(s)
}

// WaitForDump blocks its thread until live memory has passed the next threshold.
func WaitForDump() DumpReason {
	var reason C.int
	C.cgoheap_dump_wait(&reason)
	return DumpReason(reason)
}

// StoreDump writes a profile to the next file, and says on stderr where or why not.
func StoreDump(profile []byte, reason DumpReason) error {
	return Failure("writing a dump", int(C.cgoheap_dump_store(unsafe.Pointer(unsafe.SliceData(profile)), C.size_t(len(profile)), C.int(reason))))
}
