// Package bubble verifies inside of testing/synctest, whose clock jumps ahead while finalizers take their time.
package bubble

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	"github.com/cgoheap/cgoheap/tests/cgoheaptest/cases"
)

type handle struct{ p unsafe.Pointer }

// open allocates; the finalizer takes a while, as one that closes a connection does.
//
//go:noinline
func open() {
	h := &handle{cases.Alloc(100)}
	runtime.SetFinalizer(h, func(h *handle) {
		time.Sleep(20 * time.Millisecond)
		cases.Free(h.p)
	})
}

func TestFinalizerOutsideFreesInItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer cgoheaptest.VerifyNone(t)
		open()
	})
}

func TestGoroutineInsideFreesInTheTimeOfTheBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer cgoheaptest.VerifyNone(t)
		p := cases.Alloc(101)
		go func() {
			time.Sleep(300 * time.Millisecond)
			cases.Free(p)
		}()
	})
}

func TestFailsOnLeak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(10*time.Millisecond))
		cases.Alloc(102)
	})
}

func TestFailsBehindBaseline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cases.Alloc(103)
		cgoheaptest.Baseline(t)
		cases.Alloc(104)
		cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
	})
}
