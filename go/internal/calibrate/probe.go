package calibrate

import (
	"runtime"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// sighting is what a probe saw, beside what it should have seen.
type sighting struct {
	capi.Probe
	callers []uintptr // runtime.Callers in the function that called capi
}

// probes calls the probe straight from Go, and below a callback.
func probes() (direct, nested *sighting) {
	direct, nested = new(sighting), new(sighting)
	done := make(chan struct{})
	// A goroutine of its own, so that the stack is short whoever initialises the package, a plugin for example. A
	// closure without parameters, since `go f(x)` would add a wrapper that runtime.Callers leaves out.
	go func() {
		defer close(done)
		probeOuter(direct, probeDirect)
		probeOuter(nested, probeNested)
	}()
	<-done
	return direct, nested
}

// The next three are not inlined, so that a probe finds them on the stack.

//go:noinline
func probeOuter(s *sighting, inner func(*sighting)) {
	inner(s)
}

//go:noinline
func probeDirect(s *sighting) {
	s.callers = callers()
	s.Probe = capi.ProbeStack()
}

//go:noinline
func probeNested(s *sighting) {
	s.callers = callers()
	s.Probe = capi.ProbeCallback()
}

// callers returns the stack of the calling function, itself first.
//
//go:noinline
func callers() []uintptr {
	pcs := make([]uintptr, 16)
	return pcs[:runtime.Callers(2, pcs)]
}
