//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <cgoheap.h>

#cgo noescape cgoheap_set_rate
#cgo nocallback cgoheap_set_rate
#cgo noescape cgoheap_rate
#cgo nocallback cgoheap_rate
*/
import "C"

// SetRate sets the mean number of bytes between samples, from 0 (off) to 1 TiB.
func SetRate(bytes int64) {
	C.cgoheap_set_rate(C.size_t(bytes))
}

// Rate returns the mean number of bytes between samples; 0 is off.
func Rate() int {
	return int(C.cgoheap_rate())
}
