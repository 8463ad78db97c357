package cases

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
)

// Tests whose name begins with TestFails fail, as they should: the tests of the module run them and look at the output.

// soon keeps the tests that fail from taking a second each.
var soon = cgoheaptest.RetryFor(10 * time.Millisecond)

func TestFailsOnForgottenString(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	if got := Upper("shout"); got != "SHOUT" {
		t.Errorf("%q", got)
	}
}

func TestAfterFailureTheNextBegins(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	NewBuffer(10).Close()
}

func TestFinalizerFrees(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	for range 100 {
		NewBuffer(1000)
	}
}

func TestFailsOnPool(t *testing.T) {
	pool = nil
	defer cgoheaptest.VerifyNone(t, soon)
	ToPool(FromPool())
}

func TestPoolIsIgnored(t *testing.T) {
	pool = nil
	defer cgoheaptest.VerifyNone(t, cgoheaptest.IgnoreFunction(`\.FromPool$`))
	ToPool(FromPool())
}

func TestPoolIsWithinAllowance(t *testing.T) {
	pool = nil
	defer cgoheaptest.VerifyNone(t, cgoheaptest.AllowBytes(4096), cgoheaptest.AllowBlocks(1))
	ToPool(FromPool())
}

func TestFailsBeyondAllowance(t *testing.T) {
	pool = nil
	defer cgoheaptest.VerifyNone(t, cgoheaptest.AllowBytes(4095), soon)
	ToPool(FromPool())
}

func TestFailsBehindFreeOfOlderBlock(t *testing.T) {
	cgoheaptest.VerifyNone(t)
	keepTwice := func() { Keep(64) }
	keepTwice()
	cgoheaptest.VerifyNone(t, cgoheaptest.AllowBytes(64))
	Drop()
	keepTwice() // as many blocks as before, by the same stack
	cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
	Drop()
}

func TestFailsOnOneByteInMillions(t *testing.T) {
	defer cgoheaptest.VerifyNone(t, soon)
	n, _ := strconv.Atoi(os.Getenv("CASES_BLOCKS"))
	Churn(max(n, 1000), max(n, 1000)/2)
}

func TestOtherGoroutineFreesSoon(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	p, done := Alloc(100), make(chan bool)
	go func() {
		<-done
		Free(p)
	}()
	close(done)
}

func TestFailsOnBadOption(t *testing.T) {
	defer cgoheaptest.VerifyNone(t, cgoheaptest.IgnoreFunction("("))
}

func TestFailsOnFirstUse(t *testing.T) {
	table = nil
	defer cgoheaptest.VerifyNone(t, soon)
	Use()
}

func TestBaselineAcceptsFirstUse(t *testing.T) {
	table = nil
	Use()
	cgoheaptest.Baseline(t)
	defer cgoheaptest.VerifyNone(t)
	Use()
}

func TestFailsBehindBaseline(t *testing.T) {
	alloc := func() { Alloc(20) }
	alloc()
	cgoheaptest.Baseline(t)
	alloc() // the same stack
	cgoheaptest.VerifyNone(t, soon)
}

func TestFailsOnBlockOfNoBytes(t *testing.T) {
	defer cgoheaptest.VerifyNone(t, soon)
	Alloc(0)
}

// A failure of another kind, and a panic, are not made longer; what they leave behind is not the next test's.

func TestFailsForAnotherReason(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	Alloc(21)
	t.Fatal("the real reason")
}

func TestAfterAnotherReasonTheNextBegins(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
}

func TestFailsWhenItPanics(t *testing.T) {
	if os.Getenv("CASES_PANIC") == "" {
		t.Fatal("only when asked to")
	}
	defer cgoheaptest.VerifyNone(t)
	t.Cleanup(func() { cgoheaptest.VerifyNone(t) })
	Alloc(22)
	panic("the real reason")
}

// A panic that the test expects hides no leak.
func TestFailsBehindRecoveredPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	defer cgoheaptest.VerifyNone(t, soon)
	Alloc(23)
	panic("expected")
}

func FuzzForgetsThree(f *testing.F) {
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if os.Getenv("CASES_FUZZ") == "" {
			return
		}
		defer cgoheaptest.VerifyNone(t, cgoheaptest.RetryFor(0))
		p := Alloc(len(b) + 1)
		if len(b) != 3 {
			Free(p)
		}
	})
}

func BenchmarkBalanced(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	for range b.N {
		Balanced(3, 100)
	}
}

func BenchmarkLoop(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	p := Alloc(1 << 20)
	for b.Loop() {
		Balanced(3, 100)
	}
	Balanced(1000, 1<<20)
	Free(p)
}

func BenchmarkLoopStopped(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	Balanced(1000, 5000)
	b.ResetTimer()
	Balanced(1000, 5000)
	for b.Loop() {
		b.StopTimer()
		Balanced(50, 50)
		b.StartTimer()
		Balanced(3, 100)
	}
	Balanced(1000, 5000)
}

func BenchmarkTimer(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	Balanced(1000, 5000)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		Balanced(50, 50)
		b.StartTimer()
		Balanced(3, 100)
	}
	b.StopTimer()
	Balanced(1000, 5000)
}

func BenchmarkTimerOfCgoheaptest(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	Balanced(1000, 5000)
	cgoheaptest.ResetTimer(b)
	for range b.N {
		cgoheaptest.StopTimer(b)
		Balanced(50, 50)
		cgoheaptest.StartTimer(b)
		Balanced(3, 100)
	}
	cgoheaptest.StopTimer(b)
	Balanced(1000, 5000)
}

func BenchmarkParallel(b *testing.B) {
	cgoheaptest.ReportAllocs(b)
	Balanced(1000, 5000)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			Balanced(3, 100)
		}
	})
	b.StopTimer()
	Balanced(1000, 5000)
}

func BenchmarkGroup(b *testing.B) {
	cgoheaptest.ReportAllocs(b) // its own line is not printed
	Balanced(10, 10)
	for _, size := range []string{"small", "large"} {
		b.Run(size, func(b *testing.B) {
			cgoheaptest.ReportAllocs(b)
			Balanced(1000, 5000)
			b.ResetTimer()
			for range b.N {
				Balanced(3, 100)
			}
		})
	}
}
