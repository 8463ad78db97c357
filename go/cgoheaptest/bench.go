package cgoheaptest

import (
	"reflect"
	"sync"
	"testing"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// Units of what ReportAllocs reports. "C-" in front, so that they stand beside Go's own B/op and allocs/op.
const (
	unitBytes  = "C-B/op"
	unitAllocs = "C-allocs/op"
)

// counting is what ReportAllocs shares among benchmarks. Protected by its mutex.
var counting struct {
	sync.Mutex
	counters map[*testing.B]*counter
	ever     bool
	noted    *testing.B // the last benchmark that has ended: each runs several times, and its log need not say all again
}

// counter counts for one benchmark that runs.
type counter struct {
	count *capi.Count
	// own is the timer where that of package testing isn't known: only functions of this package change it.
	own timer
}

// timer is what the C side looks at in each allocation.
type timer struct {
	running bool
	mark    uint64 // a reset sets it to 0
}

var logSkippedOnce sync.Once

// ReportAllocs adds C-B/op and C-allocs/op to the benchmark's result, and Go's own as b.ReportAllocs does. They are
// counted exactly, by all threads of the process, without stacks, from this call to the end of the benchmark function,
// and divided by b.N without remainder, as Go's are. Blocks that are allocated meanwhile are not seen by [VerifyNone].
//
// What counts is what is timed: b.StopTimer, b.StartTimer, b.ResetTimer and b.Loop do for C memory what they do for
// Go's. Only with a Go version whose timer this package doesn't know everything counts from this call on; then the
// benchmark's log says so, and [StopTimer], [StartTimer] and [ResetTimer] of this package do both.
func ReportAllocs(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	reason := skipReason()
	if reason == "" {
		if problem, skip := blind(); skip {
			reason = problem
		}
	}
	if reason != "" {
		logSkippedOnce.Do(func() { b.Logf("%s", skippedLine(reason)) })
		return
	}
	counting.Lock()
	defer counting.Unlock()
	if counting.counters[b] != nil {
		return
	}
	c := &counter{own: timer{running: true}}
	running, mark := &c.own.running, &c.own.mark
	if timerFields.known {
		running = (*bool)(unsafe.Add(unsafe.Pointer(b), timerFields.on))
		mark = (*uint64)(unsafe.Add(unsafe.Pointer(b), timerFields.netAllocs))
	}
	count, err := capi.StartCount(running, mark)
	if err != nil {
		b.Errorf("cgoheaptest: %v", err)
		return
	}
	c.count = count
	if counting.counters == nil {
		counting.counters = map[*testing.B]*counter{}
	}
	counting.counters[b] = c
	b.Cleanup(func() { finish(b) })
	counting.ever = true
	markCounted()
}

// markCounted remembers that blocks have gone unseen.
func markCounted() {
	mu.Lock()
	current.counted = true
	mu.Unlock()
}

func benchmarksCounted() bool {
	counting.Lock()
	defer counting.Unlock()
	return counting.ever
}

// finish reports at the end of a run.
func finish(b *testing.B) {
	counting.Lock()
	objects, bytes, err := counting.counters[b].count.Stop()
	delete(counting.counters, b)
	markCounted() // also when a VerifyNone came in between
	again := counting.noted
	counting.noted = b
	counting.Unlock()
	if err != nil {
		b.Errorf("cgoheaptest: %v", err)
	}
	n := uint64(max(b.N, 1))
	b.ReportMetric(float64(bytes/n), unitBytes)
	b.ReportMetric(float64(objects/n), unitAllocs)
	if !timerFields.known && again != b {
		b.Logf("cgoheaptest: %s and %s count from the call of ReportAllocs to the end: this Go version keeps its timer in "+
			"another way. StopTimer, StartTimer and ResetTimer of cgoheaptest are followed", unitBytes, unitAllocs)
	}
	if err := writeRequestedProfile(); err != nil {
		b.Errorf("cgoheaptest: -cgoheapprofile: %v", err)
	}
}

// StopTimer is b.StopTimer, and stops what [ReportAllocs] counts with any Go version.
func StopTimer(b *testing.B) {
	change(b, func(own *timer) { own.running = false })
	b.StopTimer()
}

// StartTimer is b.StartTimer, and goes on with what [ReportAllocs] counts with any Go version.
func StartTimer(b *testing.B) {
	b.StartTimer()
	change(b, func(own *timer) { own.running = true })
}

// ResetTimer is b.ResetTimer, and sets what [ReportAllocs] has counted to 0 with any Go version.
func ResetTimer(b *testing.B) {
	b.ResetTimer()
	change(b, func(own *timer) { own.mark = 0 })
}

// change changes the own timer of a benchmark that counts.
func change(b *testing.B, do func(*timer)) {
	counting.Lock()
	defer counting.Unlock()
	if c := counting.counters[b]; c != nil {
		do(&c.own)
	}
}

// timerFields holds the offsets of testing.B's fields, checked by name and type; known is false when this Go version has
// others. timerOn says whether the timer runs. netAllocs is the number of Go allocations until it was last stopped: ResetTimer
// (and b.Loop, which calls it) sets it to 0, StopTimer adds to it, and nothing else looks at it before the benchmark has
// ended, so its topmost bit can tell that there was a reset.
var timerFields = func() (f struct {
	known         bool
	on, netAllocs uintptr
}) {
	b := reflect.TypeFor[testing.B]()
	on, ok1 := b.FieldByName("timerOn")
	netAllocs, ok2 := b.FieldByName("netAllocs")
	// Fields of B itself: the offset of an embedded struct's field would be that inside of it.
	if ok1 && ok2 && len(on.Index) == 1 && len(netAllocs.Index) == 1 &&
		on.Type == reflect.TypeFor[bool]() && netAllocs.Type == reflect.TypeFor[uint64]() {
		f.known, f.on, f.netAllocs = true, on.Offset, netAllocs.Offset
	}
	return f
}()
