//go:build cgo && !asan && !msan

package cgoheaptest

import (
	"flag"
	"strings"
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/tests/ctest/plain"
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

// What each input of a fuzz target, or each small test, pays for verifying that it left nothing.
func BenchmarkVerifyNoneOfATestThatLeavesNothing(b *testing.B) {
	var r recorder
	for b.Loop() {
		plain.Release(plain.Chain(100))
		VerifyNone(&r)
	}
	if len(r.errors) != 0 {
		b.Errorf("%q", r.errors)
	}
}

// blocks allocates and frees n blocks of some bytes.
func blocks(n, bytes int) {
	for range n {
		plain.Release(plain.Chain(bytes))
	}
}

func TestWhatIsTimedCounts(t *testing.T) {
	benchtime := flag.Lookup("test.benchtime").Value
	defer benchtime.Set(benchtime.String())
	defer func() { timerFields.known = true }()
	// Odd numbers of blocks and bytes outside of what is timed.
	outside := func() { blocks(7, 1234567) }
	for _, test := range []struct {
		name          string
		run           func(b *testing.B)
		allocs, bytes float64
	}{
		{"untouched", func(b *testing.B) { blocks(3, 50) }, 3, 150},
		{"skipped", func(b *testing.B) { b.Skip() }, 0, 0},
		{"stopped", func(b *testing.B) { blocks(3, 50); b.StopTimer(); outside() }, 3, 150},
		{"started again", func(b *testing.B) { blocks(3, 50); b.StopTimer(); outside(); b.StartTimer(); blocks(1, 9) }, 4, 159},
		{"reset", func(b *testing.B) { outside(); b.ResetTimer(); blocks(3, 50) }, 3, 150},
		{"reset at the end", func(b *testing.B) { outside(); b.ResetTimer() }, 0, 0},
		{"reset while stopped", func(b *testing.B) {
			outside()
			b.StopTimer()
			outside()
			b.ResetTimer()
			b.StartTimer()
			blocks(3, 50)
		}, 3, 150},
		{"reset, then stopped", func(b *testing.B) {
			outside()
			b.ResetTimer()
			b.StopTimer()
			outside()
			b.StartTimer()
			blocks(3, 50)
		}, 3, 150},
		{"reset, then stopped, five times", func(b *testing.B) {
			for i := range 5 {
				outside()
				b.ResetTimer()
				b.StopTimer()
				b.StartTimer()
				blocks(i, 50)
				b.StopTimer()
				outside()
				b.StartTimer()
			}
			b.ResetTimer()
			b.StopTimer()
			b.StartTimer()
			blocks(1, 1)
		}, 1, 1},
		{"ReportAllocs while stopped", func(b *testing.B) {
			b.StopTimer()
			ReportAllocs(b)
			outside()
			b.StartTimer()
			blocks(3, 50)
		}, 3, 150},
		{"loop", func(b *testing.B) {
			outside()
			for b.Loop() {
				blocks(3, 50)
			}
			outside()
		}, 3, 150},
		{"loop that stops and starts", func(b *testing.B) {
			outside()
			b.ResetTimer()
			blocks(1, 1)
			for b.Loop() {
				b.StopTimer()
				outside()
				b.StartTimer()
				blocks(3, 50)
			}
			outside()
		}, 3, 150},
		{"own functions", func(b *testing.B) {
			outside()
			StopTimer(b)
			outside()
			ResetTimer(b)
			StartTimer(b)
			blocks(3, 50)
			StopTimer(b)
			outside()
			StartTimer(b)
			blocks(1, 9)
		}, 4, 159},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Whether or not package testing's timer is known, its own functions are followed.
			for _, known := range []bool{true, false} {
				if !known && test.name != "own functions" {
					continue
				}
				timerFields.known = known
				times := []string{"1x"}
				if strings.HasPrefix(test.name, "loop") {
					times = append(times, "37x", "2ms") // as often as it takes
				}
				for _, time := range times {
					if err := benchtime.Set(time); err != nil {
						t.Fatal(err)
					}
					r := testing.Benchmark(func(b *testing.B) {
						if !strings.HasPrefix(test.name, "ReportAllocs") {
							ReportAllocs(b)
						}
						test.run(b)
					})
					if r.Extra[unitAllocs] != test.allocs || r.Extra[unitBytes] != test.bytes {
						t.Errorf("%s, timer known %v: %v, want %v blocks, %v bytes", time, known, r.Extra, test.allocs, test.bytes)
					}
					if r.MemAllocs > 1<<40 {
						t.Errorf("%s: Go's own allocations: %d", time, r.MemAllocs)
					}
				}
			}
		})
	}
}
