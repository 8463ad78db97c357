//go:build linux && amd64 && cgo

// Package probe makes one call Go -> C -> Go -> C, for the check at start.
//
// It is apart from package cgoheap because an exported Go function forbids definitions in its package's cgo preamble and
// turns on code in _cgo_export.c that package cgoheap doesn't want.
package probe

// The functions are in probe.c.

/*
void cgoheap_internal_probe_enter(void *function, void *argument);
void cgoheap_internal_probe_leaf(void *function, void *argument);
*/
import "C"

import "unsafe"

// CallbackName is the name of the Go function that C calls back; it must be on the stack that a probe sees.
const CallbackName = "github.com/cgoheap/cgoheap/go/internal/probe.cgoheapInternalProbe"

// Nested calls the C function `void function(void *argument)` below a callback: Go, C, Go, C.
func Nested(function, argument unsafe.Pointer) {
	C.cgoheap_internal_probe_enter(function, argument)
}

// Not inlined into the function that cgo writes around it, so that it is found by name.
//
//go:noinline
//export cgoheapInternalProbe
func cgoheapInternalProbe(function, argument unsafe.Pointer) {
	C.cgoheap_internal_probe_leaf(function, argument)
}
