//go:build linux && amd64 && cgo

package cgoheap

/*
#cgo CFLAGS: -I${SRCDIR}/../include -DCGOHEAP_NO_REDIRECT -DCGOHEAP_SKIP

// cgo also writes C of its own for this package, which declares what it calls in its own way: not a place for a header
// that the user's CGO_CFLAGS include everywhere.
#undef CGOHEAP_SKIP
#include <cgoheap.h>

// None of these calls back into Go or keeps a pointer, but for the probe, which measures exactly what calls look like.
#cgo noescape cgoheap_set_rate
#cgo nocallback cgoheap_set_rate
#cgo noescape cgoheap_rate
#cgo nocallback cgoheap_rate
#cgo noescape cgoheap_read_stats
#cgo nocallback cgoheap_read_stats
*/
import "C"

import (
	"time"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	_ "github.com/cgoheap/cgoheap/go/internal/lib/linux_amd64" // links the archive
	"github.com/cgoheap/cgoheap/go/internal/probe"
	_ "github.com/cgoheap/cgoheap/include" // keeps the header in vendored copies
)

// abi makes a stale archive fail to link, with a name that explains itself.
var abi = C.cgoheap_abi_1

func init() {
	goFramesProblem = calibrate()
	registeredProblem = register()
	startDumps()
}

func setRate(bytes int64) {
	C.cgoheap_set_rate(C.size_t(bytes))
}

func rate() int {
	return int(C.cgoheap_rate())
}

func readStats(s *Stats) {
	var c C.struct_cgoheap_stats
	if C.cgoheap_read_stats(&c, C.size_t(unsafe.Sizeof(c))) != C.CGOHEAP_OK {
		return
	}
	s.Rate = int(c.interval_bytes)
	s.AllocObjects, s.AllocBytes = uint64(c.alloc_objects), uint64(c.alloc_bytes)
	s.LiveObjects, s.LiveBytes = uint64(c.live_objects), uint64(c.live_bytes)
	s.AllocBytesMargin, s.LiveBytesMargin = uint64(c.alloc_bytes_margin), uint64(c.live_bytes_margin)
	s.Samples, s.LiveSamples, s.Stacks = uint64(c.samples), uint64(c.live_samples), uint64(c.stacks)
	s.OwnBytes = uint64(c.own_bytes)
	s.GoFrames = c.go_frames == 1
	s.Interpose = Interpose(c.interpose)
	s.Lost.SamplesNoMemory = uint64(c.samples_no_memory)
	s.Lost.SamplesLockBusy = uint64(c.samples_lock_busy)
	s.Lost.StacksTableFull = uint64(c.stacks_table_full)
	s.Lost.FreesLockBusy = uint64(c.frees_lock_busy)
	s.Lost.FreesUnseen = uint64(c.frees_unseen)
	s.Lost.StacksTooDeep = uint64(c.stacks_too_deep)
	s.Lost.StacksNoUnwindInfo = uint64(c.stacks_no_unwind_info)
	s.Lost.StacksBadUnwindInfo = uint64(c.stacks_bad_unwind_info)
	s.Lost.StacksUnreadable = uint64(c.stacks_unreadable)
	s.Lost.StacksGoSystem = uint64(c.stacks_go_system)
	s.Lost.StacksGoOff = uint64(c.stacks_go_off)
	s.Lost.StacksBadGo = uint64(c.stacks_bad_go)
	s.Lost.ModulesTableFull = uint64(c.modules_table_full)
	s.PeakBytes = uint64(c.peak_bytes)
	if c.peak_time_nanos != 0 {
		s.PeakTime = time.Unix(0, int64(c.peak_time_nanos))
	}
}

// calibrate makes two calls into C that look at their own stack, checks what they found, and tells the C side whether
// stacks may be followed into Go. It returns why not, or "".
func calibrate() string {
	direct, nested := probes()
	problem := checkDirect(direct)
	if problem == "" {
		// Without the second address all but the Go frames above a callback are found: not worth refusing the rest.
		if checkNested(direct, nested) {
			direct.c.callback = nested.c.callback
		}
		err := capi.Failure("joining Go frames", int(C.cgoheap_go_join(direct.c)))
		if err == nil {
			return ""
		}
		problem = err.Error()
	}
	C.cgoheap_go_refuse()
	return problem
}

// probes calls the probe straight from Go, and below a callback.
func probes() (direct, nested *sighting) {
	direct = &sighting{c: new(C.struct_cgoheap_go_probe)}
	nested = &sighting{c: new(C.struct_cgoheap_go_probe)}
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

// sighting is what a probe saw, beside what it should have seen.
type sighting struct {
	c        *C.struct_cgoheap_go_probe // apart: cgo passes no memory to C that holds Go pointers
	failed   bool
	noTables bool      // why it failed
	boundary uintptr   // return address into asmcgocall
	callback uintptr   // return address into crosscall2
	pcs      []uintptr // Go return addresses, innermost first
	callers  []uintptr // runtime.Callers in the function that called C
}

// probeOuter is the second of the two functions that a probe must find on the stack.
//
//go:noinline
func probeOuter(s *sighting, inner func(*sighting)) {
	inner(s)
	s.boundary, s.callback = uintptr(s.c.boundary), uintptr(s.c.callback)
	for i := 0; i < len(s.c.pcs) && i < int(s.c.n_pcs); i++ {
		s.pcs = append(s.pcs, uintptr(s.c.pcs[i]))
	}
}

// probeDirect calls the probe.
//
//go:noinline
func probeDirect(s *sighting) {
	s.callers = callers()
	result := C.cgoheap_go_probe(s.c)
	s.failed, s.noTables = result != C.CGOHEAP_OK, result == C.CGOHEAP_ERR_NO_TABLES
}

// probeNested calls the probe through C and Go.
//
//go:noinline
func probeNested(s *sighting) {
	s.callers = callers()
	probe.Nested(C.cgoheap_go_probe, unsafe.Pointer(s.c))
	s.failed = s.c.n_pcs == 0
}
