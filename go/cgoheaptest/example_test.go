//go:build cgo && !asan && !msan

package cgoheaptest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	"github.com/cgoheap/cgoheap/tests/ctest/plain" // C code that allocates
)

// printer stands for a *testing.T here, and prints the first line of what a test would.
type printer struct{ testing.TB }

func (printer) Helper()             {}
func (printer) Name() string        { return "TestChain" }
func (printer) Failed() bool        { return false }
func (printer) Logf(string, ...any) {}
func (printer) Errorf(format string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	fmt.Println(line)
}

func ExampleVerifyNone() {
	testChain := func(t testing.TB) {
		defer cgoheaptest.VerifyNone(t)
		plain.Chain(100) // forgets plain.Release
	}
	testChain(printer{})
	// Output: C memory leak: 100 bytes in 1 block, allocated by 1 stack, not freed when the test ended
}

func ExampleBaseline() {
	testUse := func(t testing.TB) {
		plain.Chain(100) // what a library keeps from its first use
		cgoheaptest.Baseline(t)
		defer cgoheaptest.VerifyNone(t)
		plain.Release(plain.Chain(100))
	}
	testUse(printer{})
	fmt.Println("no leak")
	// Output: no leak
}

func ExampleIgnoreFunction() {
	testPool := func(t testing.TB) {
		defer cgoheaptest.VerifyNone(t, cgoheaptest.IgnoreFunction(`/plain\.Chain$`))
		plain.Chain(100)
	}
	testPool(printer{})
	fmt.Println("no leak")
	// Output: no leak
}

func ExampleReportAllocs() {
	result := testing.Benchmark(func(b *testing.B) {
		cgoheaptest.ReportAllocs(b)
		for range b.N {
			plain.Release(plain.Chain(100))
		}
	})
	fmt.Println(result.Extra["C-B/op"], "C-B/op,", result.Extra["C-allocs/op"], "C-allocs/op")
	// Output: 100 C-B/op, 1 C-allocs/op
}
