// Package garbage runs the Go garbage collector and waits until it is done, finalizers and cleanups included.
package garbage

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// finalizersTimeout bounds the wait for finalizers and cleanups: one that hangs must not take the profile away.
const finalizersTimeout = 5 * time.Second

// Collect runs the garbage collector twice and after each run waits until the finalizers and cleanups that it found
// due have run, so that C memory which they free is free. Twice, because a finalizer keeps its object, and what hangs
// on it, to the next collection. It returns early when ctx ends.
func Collect(ctx context.Context) {
	CollectUntil(ctx, func() bool { return false })
}

// CollectUntil does the same, and asks after each run whether that was enough.
func CollectUntil(ctx context.Context, enough func() bool) {
	wait := &waiter{ctx: ctx, left: finalizersTimeout}
	queues := newQueueCounts()
	if !queues.known() {
		// Go 1.25 doesn't count. A marker of our own that has run says that the queue has moved, but not that those
		// beside it have run; the marker of a third collection comes behind all of them.
		for range 3 {
			ran := plantMarkers()
			runtime.GC()
			if !wait.until(func() bool { return ran.Load() == 2 }) || enough() {
				return
			}
		}
		return
	}
	for range 2 {
		runtime.GC()
		finalizers, _, cleanups, _ := queues.read()
		done := func() bool {
			_, finalizersRun, _, cleanupsRun := queues.read()
			return finalizersRun >= finalizers && cleanupsRun >= cleanups
		}
		if !wait.until(done) || enough() {
			return
		}
	}
}

// waiter waits in real time: in a bubble of testing/synctest package time's clock jumps ahead, and finalizers and cleanups
// run outside of the bubble.
type waiter struct {
	ctx  context.Context
	left time.Duration
}

// until waits until done answers true; it returns false when the context ends or the time is over first.
func (w *waiter) until(done func() bool) bool {
	for pause := 50 * time.Microsecond; !done(); pause = min(2*pause, 20*time.Millisecond) {
		if w.left <= 0 || w.ctx.Err() != nil {
			return false
		}
		capi.SleepOutside(pause)
		w.left -= pause
	}
	return w.ctx.Err() == nil
}

// queueCounts reads the runtime's counters of finalizers and cleanups.
type queueCounts [4]metrics.Sample

func newQueueCounts() *queueCounts {
	return &queueCounts{
		{Name: "/gc/finalizers/queued:finalizers"},
		{Name: "/gc/finalizers/executed:finalizers"},
		{Name: "/gc/cleanups/queued:cleanups"},
		{Name: "/gc/cleanups/executed:cleanups"},
	}
}

// known says whether this Go version has the counters.
func (q *queueCounts) known() bool {
	metrics.Read(q[:])
	for i := range q {
		if q[i].Value.Kind() != metrics.KindUint64 {
			return false
		}
	}
	return true
}

func (q *queueCounts) read() (finalizers, finalizersRun, cleanups, cleanupsRun uint64) {
	metrics.Read(q[:])
	return q[0].Value.Uint64(), q[1].Value.Uint64(), q[2].Value.Uint64(), q[3].Value.Uint64()
}

// plantMarkers makes garbage with a finalizer and garbage with a cleanup, and returns how many of the two have run.
//
//go:noinline
func plantMarkers() *atomic.Int32 {
	// With a pointer inside and 64 bytes long, so that the tiny allocator doesn't put it together with living objects.
	type marker struct{ _ [8]*int }
	ran := new(atomic.Int32)
	runtime.SetFinalizer(new(marker), func(*marker) { ran.Add(1) })
	runtime.AddCleanup(new(marker), func(ran *atomic.Int32) { ran.Add(1) }, ran)
	return ran
}
