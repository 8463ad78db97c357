package libc

import (
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func TestWhatLibcKeepsIsNoLeak(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	Once()
}

func TestFailsOnWhatLibcHandsOut(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	if n := Forget(); n != 6 {
		t.Errorf("%d blocks, want 6", n)
	}
}
