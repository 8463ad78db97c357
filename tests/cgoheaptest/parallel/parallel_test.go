// Package parallel verifies while other tests are unfinished.
package parallel

import (
	"testing"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	"github.com/cgoheap/cgoheap/tests/cgoheaptest/cases"
)

// Each test of a group waits for the other: they need -parallel 2 or more.

var held, verified = make(chan bool), make(chan bool)

// The leak is this test's, what the next one holds is not.
func TestFailsOnItsOwnLeakOnly(t *testing.T) {
	t.Parallel()
	<-held
	cases.Alloc(10)
	cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
	close(verified)
}

func TestHoldsMemoryMeanwhile(t *testing.T) {
	t.Parallel()
	defer cgoheaptest.VerifyNone(t)
	p := cases.Alloc(20)
	close(held)
	<-verified
	cases.Free(p)
}

// Neither of these functions is a test's.
func background(give chan<- unsafe.Pointer) { give <- cases.Alloc(30) }

func start() unsafe.Pointer {
	c := make(chan unsafe.Pointer)
	go background(c)
	return <-c
}

var heldInBackground, verifiedBackground = make(chan bool), make(chan bool)

func TestFailsOnWhatCannotBeToldApart(t *testing.T) {
	t.Parallel()
	<-heldInBackground
	cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
	close(verifiedBackground)
}

func TestHoldsMemoryOfNobody(t *testing.T) {
	t.Parallel()
	defer cgoheaptest.VerifyNone(t)
	p := start()
	close(heldInBackground)
	<-verifiedBackground
	cases.Free(p)
}

// A later leak of a test that has verified in parallel is found by a test that runs alone.
func TestFailsOnParallelSubtests(t *testing.T) {
	inside, out := make(chan bool), make(chan bool)
	t.Run("group", func(t *testing.T) {
		t.Run("holds", func(t *testing.T) {
			t.Parallel()
			p := cases.Alloc(40)
			close(inside)
			<-out
			cases.Free(p)
		})
		t.Run("verifies", func(t *testing.T) {
			t.Parallel()
			<-inside
			cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
			close(out)
		})
	})
	cgoheaptest.VerifyNone(t)
}

func TestVerifiesSubtestsInCleanup(t *testing.T) {
	t.Cleanup(func() { cgoheaptest.VerifyNone(t) })
	for range 2 {
		t.Run("sub", func(t *testing.T) {
			t.Parallel()
			cases.Free(cases.Alloc(50))
		})
	}
}

// While this test only waits, the tests up to TestNothingIsBlamedForTheOthers run one after the other: it runs when they are over.
func TestOnlyWaits(t *testing.T) { t.Parallel() }

//go:noinline
func pool() { cases.Alloc(60) }

func TestIgnoresItsPool(t *testing.T) {
	defer cgoheaptest.VerifyNone(t, cgoheaptest.IgnoreFunction(`\.pool$`))
	pool()
}

func TestAllowsItsBlock(t *testing.T) {
	defer cgoheaptest.VerifyNone(t, cgoheaptest.AllowBytes(61))
	cases.Alloc(61)
}

func TestFailsForAnotherReason(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	cases.Alloc(62)
	t.Error("the real reason")
}

func TestHasABaseline(t *testing.T) {
	cases.Alloc(63)
	cgoheaptest.Baseline(t)
	defer cgoheaptest.VerifyNone(t)
}

func TestNothingIsBlamedForTheOthers(t *testing.T) {
	cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
}

func TestFailsOnTheSameStackAgain(t *testing.T) {
	again := func() { cases.Alloc(64) }
	for i := range 2 {
		again()
		if i == 0 {
			cgoheaptest.VerifyNone(t, cgoheaptest.AllowBlocks(1))
		}
	}
	cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
}
