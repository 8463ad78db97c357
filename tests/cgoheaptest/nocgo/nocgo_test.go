// Package nocgo compiles without cgo, and where cgoheap doesn't run.
package nocgo

import (
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
)

func TestVerify(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
}

func BenchmarkNothing(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	cgoheaptest.ResetTimer(b)
	for range b.N {
		cgoheaptest.StopTimer(b)
		cgoheaptest.StartTimer(b)
	}
}
