package fuzz

import (
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

// FuzzPlain is what FuzzVerified is compared with: scripts/bench-fuzz.sh.
func FuzzPlain(f *testing.F) {
	f.Add([]byte("<"))
	f.Fuzz(func(t *testing.T, input []byte) { parse(input) })
}

func FuzzVerified(f *testing.F) {
	f.Add([]byte("<"))
	f.Fuzz(func(t *testing.T, input []byte) {
		defer cgoheaptest.VerifyNone(t)
		parse(input)
	})
}
