//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#include <cgoheap.h>

// In probe.c.
void cgoheap_capi_probe_outer(struct cgoheap_go_probe *out);
void cgoheap_capi_probe_inner(struct cgoheap_go_probe *out);

// The probes are not marked as nocallback: one calls back, and the other measures what a plain call looks like.
#cgo noescape cgoheap_go_join
#cgo nocallback cgoheap_go_join
#cgo noescape cgoheap_go_refuse
#cgo nocallback cgoheap_go_refuse
*/
import "C"

import "unsafe"

// Names of Go functions that a probe must find on the stack.
const (
	ProbeName     = "github.com/cgoheap/cgoheap/go/internal/capi.ProbeStack"
	ProbeStubName = "github.com/cgoheap/cgoheap/go/internal/capi._Cfunc_cgoheap_go_probe" // written by cgo
	CallbackName  = "github.com/cgoheap/cgoheap/go/internal/capi.cgoheapInternalProbe"
)

// ProbeStack calls C code that looks at its own stack.
//
//go:noinline
func ProbeStack() Probe {
	c := new(C.struct_cgoheap_go_probe)
	result := C.cgoheap_go_probe(c)
	p := goProbe(c)
	p.Failed, p.NoTables = result != C.CGOHEAP_OK, result == C.CGOHEAP_ERR_NO_TABLES
	return p
}

// ProbeCallback does the same below a callback: Go, C, Go, C.
//
//go:noinline
func ProbeCallback() Probe {
	c := new(C.struct_cgoheap_go_probe)
	C.cgoheap_capi_probe_outer(c)
	p := goProbe(c)
	p.Failed = len(p.PCs) == 0
	return p
}

func goProbe(c *C.struct_cgoheap_go_probe) Probe {
	p := Probe{Boundary: uintptr(c.boundary), Callback: uintptr(c.callback)}
	for i := 0; i < len(c.pcs) && i < int(c.n_pcs); i++ {
		p.PCs = append(p.PCs, uintptr(c.pcs[i]))
	}
	return p
}

// Not inlined into the function that cgo writes around it, so that it is found by name.
//
//go:noinline
//export cgoheapInternalProbe
func cgoheapInternalProbe(out unsafe.Pointer) {
	C.cgoheap_capi_probe_inner((*C.struct_cgoheap_go_probe)(out))
}

// JoinGo accepts what a probe has found: from now on stacks are followed from C into Go, over these two return addresses.
// Without a callback (0) they end at the first Go function that C called back.
func JoinGo(boundary, callback uintptr) error {
	c := C.struct_cgoheap_go_probe{boundary: C.ulonglong(boundary), callback: C.ulonglong(callback)}
	return failure("joining Go frames", C.cgoheap_go_join(&c))
}

// RefuseGo keeps Go frames off.
func RefuseGo() {
	C.cgoheap_go_refuse()
}
