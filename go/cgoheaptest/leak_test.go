//go:build linux && amd64 && cgo && !asan && !msan

package cgoheaptest

import (
	"strings"
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/ctest/plain"
)

func TestLeakIsReportedOnceAndByItsOwnSize(t *testing.T) {
	VerifyNone(&recorder{}, RetryFor(0)) // draws the baseline
	block := plain.Chain(4321)
	var first, second recorder
	VerifyNone(&first, RetryFor(0))
	VerifyNone(&second, RetryFor(0))
	plain.Release(block)
	if len(first.errors) != 1 || !strings.Contains(first.errors[0], "4321 bytes in 1 block allocated in C by\n        plain_inner  ") {
		t.Errorf("%q", first.errors)
	}
	if len(second.errors) != 0 {
		t.Errorf("reported again: %q", second.errors)
	}
}

func TestRateZeroFailsInsteadOfSeeingNothing(t *testing.T) {
	cgoheap.SetRate(0)
	defer cgoheap.SetRate(1)
	var r recorder
	VerifyNone(&r)
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "the rate is 0") {
		t.Errorf("%q", r.errors)
	}
}

func TestBenchmarkHidesBlocksAndSaysSo(t *testing.T) {
	VerifyNone(t)
	testing.Benchmark(func(b *testing.B) {
		ReportAllocs(b)
		plain.Release(plain.Chain(1))
	})
	var r recorder
	VerifyNone(&r)
	if len(r.errors) != 0 || len(r.logs) != 1 || !strings.Contains(r.logs[0], "not verified") {
		t.Errorf("%q, %q", r.errors, r.logs)
	}
}

func TestTimerOfABenchmark(t *testing.T) {
	for name, test := range map[string]struct {
		run  func(b *testing.B)
		note bool
	}{
		"untouched": {func(b *testing.B) {}, false},
		"loop": {func(b *testing.B) {
			for b.Loop() {
			}
		}, false},
		"own reset":       {func(b *testing.B) { ResetTimer(b) }, false},
		"own stop, start": {func(b *testing.B) { StopTimer(b); StartTimer(b) }, false},
		"reset":           {func(b *testing.B) { b.ResetTimer() }, true},
		"stop, start":     {func(b *testing.B) { b.StopTimer(); b.StartTimer() }, true},
	} {
		var note string
		testing.Benchmark(func(b *testing.B) {
			ReportAllocs(b)
			c := counting.counters[b]
			test.run(b)
			note = c.note(b)
		})
		if (note != "") != test.note {
			t.Errorf("%s: %q", name, note)
		}
	}
}
