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
