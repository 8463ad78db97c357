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
	if os.Getenv("TESTMAIN_LEAK") != "" {
		cases.Alloc(80)
	}
	if os.Getenv("TESTMAIN_FAIL") != "" {
		t.Error("another failure")
	}
}

//go:noinline
func ignored() { cases.Alloc(90) }
