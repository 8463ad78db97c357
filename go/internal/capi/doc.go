// Package capi calls the C side: the functions of include/cgoheap.h and of the platform's malloc, as Go functions. Beside
// go/interpose it is the only package of this module with cgo in it, and the only one that knows whether this program has a
// C side: [Supported].
//
// A file for each topic of the header: rate.go, stats.go, snapshot.go, count.go, dump.go, probe.go; glibc.go asks the C
// library's malloc, and names.go writes the names of Go functions for the C side. types.go holds what they tell, and is the
// same everywhere. Without a C side unsupported.go takes the place of all but types.go and names.go: every function that can
// fail returns [errors.ErrUnsupported] there, and the others return nothing. One file for each platform links its archive.
//
// But for a [Snapshot] and a [Count], which belong to one goroutine at a time, all functions may be called from any
// goroutine.
package capi
