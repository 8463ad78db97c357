// Package both uses the header and captures the whole process together: each block counts once.
package both

import (
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
	"github.com/cgoheap/cgoheap/tests/cgoheaptest/cases"
)

func TestFailsOnForgottenString(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	cases.Upper("shout")
	cases.Alloc(11)
}

func TestBalanced(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	cases.Balanced(100, 100)
}

func BenchmarkBalanced(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	for range b.N {
		cases.Balanced(3, 100)
	}
}
