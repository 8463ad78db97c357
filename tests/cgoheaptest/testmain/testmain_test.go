// Package testmain verifies a whole package.
package testmain

import (
	"os"
	"testing"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	"github.com/cgoheap/cgoheap/tests/cgoheaptest/cases"
)

var atStart unsafe.Pointer

func init() { atStart = cases.Alloc(70) }

func TestMain(m *testing.M) {
	cgoheaptest.VerifyTestMain(m, cgoheaptest.IgnoreFunction(`\.ignored$`))
}

func TestLeaks(t *testing.T) {
	ignored()
	if os.Getenv("TESTMAIN_FAIL") != "" {
		t.Error("another failure")
	}
}

// What a test has accepted, VerifyTestMain doesn't report.
func TestAccepts(t *testing.T) {
	pool()
	cgoheaptest.VerifyNone(t, cgoheaptest.IgnoreFunction(`\.(pool|ignored)$`))
	cases.Alloc(100)
	cgoheaptest.Baseline(t)
}

func TestLeaksAtTheEnd(t *testing.T) {
	if os.Getenv("TESTMAIN_LEAK") != "" {
		cases.Alloc(80)
	}
}

//go:noinline
func pool() { cases.Alloc(95) }

//go:noinline
func ignored() { cases.Alloc(90) }
