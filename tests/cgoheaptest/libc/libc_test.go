package libc

import (
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)

func run(t *testing.T, calls []Call) {
	for _, c := range calls {
		t.Run(c.Name(), func(t *testing.T) {
			defer cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
			c.Run()
		})
	}
}

func TestKeeps(t *testing.T) { run(t, Keeps()) }

func TestFails(t *testing.T) { run(t, HandsOut()) }
