package cgoheaptest

import (
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// Units of what ReportAllocs reports. "C-" in front, so that they stand beside Go's own B/op and allocs/op.
const (
	unitBytes  = "C-B/op"
	unitAllocs = "C-allocs/op"
)

// counter counts for one benchmark that runs.
type counter struct {
	running                bool
	objects, bytes         uint64 // counted while running, until the last stop
	fromObjects, fromBytes uint64 // totals when it was started
	timer                  timerState
}

// counting is what ReportAllocs shares among benchmarks. Protected by its mutex.
var counting struct {
	sync.Mutex
	counters map[*testing.B]*counter
	ever     bool
	noted    *testing.B // the last benchmark that has ended: each runs several times, and its log need not say all again
}

var logSkippedOnce sync.Once

// ReportAllocs adds C-B/op and C-allocs/op to the benchmark's result, and Go's own as b.ReportAllocs does. They are
// counted exactly, by all threads of the process, without stacks, from this call to the end of the benchmark function,
// and divided by b.N without remainder, as Go's are. Blocks that are allocated meanwhile are not seen by [VerifyNone].
//
// The testing package tells nobody about b.ResetTimer, b.StopTimer and b.StartTimer: call [ResetTimer], [StopTimer] and
// [StartTimer] of this package instead, which do both. Where the timer was used otherwise the benchmark's log says
// so. With b.Loop, which resets the timer too, call ReportAllocs right in front of the loop, behind the setup, and
// StopTimer behind it if a teardown follows.
func ReportAllocs(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	if reason := asideReason(); reason != "" {
		logSkippedOnce.Do(func() { b.Logf("%s", skippedLine(reason)) })
		return
	}
	counting.Lock()
	defer counting.Unlock()
	if counting.counters[b] != nil {
		return
	}
	if len(counting.counters) == 0 {
		if err := capi.SetCounting(true); err != nil {
			b.Errorf("cgoheaptest: %v", err)
			return
		}
		markCounted()
	}
	if counting.counters == nil {
		counting.counters = map[*testing.B]*counter{}
	}
	c := &counter{}
	counting.counters[b] = c
	b.Cleanup(func() { finish(b) })
	c.timer = readTimer(b)
	if c.timer.on || !timerFields.known {
		c.start()
	}
}

// markCounted remembers that blocks go unseen from now on.
func markCounted() {
	counting.ever = true
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
	c := counting.counters[b]
	c.stop()
	delete(counting.counters, b)
	again := counting.noted
	counting.noted = b
	var err error
	if len(counting.counters) == 0 {
		err = capi.SetCounting(false)
		mu.Lock()
		current.counted = true // also when a VerifyNone came in between
		mu.Unlock()
	}
	counting.Unlock()
	if err != nil {
		b.Errorf("cgoheaptest: %v", err)
	}
	n := uint64(max(b.N, 1))
	b.ReportMetric(float64(c.bytes/n), unitBytes)
	b.ReportMetric(float64(c.objects/n), unitAllocs)
	if note := c.note(b); note != "" && again != b {
		b.Logf("cgoheaptest: %s and %s %s", unitBytes, unitAllocs, note)
	}
	if err := writeRequestedProfile(); err != nil {
		b.Errorf("cgoheaptest: -cgoheapprofile: %v", err)
	}
}

// note says what is inexact.
func (c *counter) note(b *testing.B) string {
	if !timerFields.known {
		return "count from the call of ReportAllocs to the end, whatever the timer did: this Go version keeps it in another way"
	}
	now := readTimer(b)
	if now.start == c.timer.start || now.loop && !c.timer.loop && c.timer.on {
		// Untouched, or reset by b.Loop, which is as it should be with ReportAllocs right in front of it.
		return ""
	}
	return "don't follow b.ResetTimer, b.StopTimer and b.StartTimer: use those of cgoheaptest"
}

// start goes on counting. With the lock held.
func (c *counter) start() {
	if !c.running {
		c.running = true
		c.fromObjects, c.fromBytes = capi.Counted()
	}
}

// stop adds what was counted since start. With the lock held.
func (c *counter) stop() {
	if c.running {
		c.running = false
		objects, bytes := capi.Counted()
		c.objects += objects - c.fromObjects
		c.bytes += bytes - c.fromBytes
	}
}

// StopTimer is b.StopTimer, and stops what [ReportAllocs] counts too.
func StopTimer(b *testing.B) {
	change(b, (*counter).stop, func() { b.StopTimer() })
}

// StartTimer is b.StartTimer, and goes on with what [ReportAllocs] counts.
func StartTimer(b *testing.B) {
	change(b, nil, func() { b.StartTimer() })
	change(b, (*counter).start, nil)
}

// ResetTimer is b.ResetTimer, and sets what [ReportAllocs] has counted to 0.
func ResetTimer(b *testing.B) {
	change(b, func(c *counter) {
		c.objects, c.bytes = 0, 0
		if c.running {
			c.fromObjects, c.fromBytes = capi.Counted()
		}
	}, func() { b.ResetTimer() })
}

// change changes the timer and the counter, if there is one, and takes note of the timer's new state.
func change(b *testing.B, count func(*counter), timer func()) {
	counting.Lock()
	defer counting.Unlock()
	c := counting.counters[b]
	if c != nil && count != nil {
		count(c)
	}
	if timer != nil {
		timer()
	}
	if c != nil {
		c.timer = readTimer(b)
	}
}

// timerState is what testing.B knows of its timer, enough to see that it was touched.
type timerState struct {
	on    bool
	start time.Time // the last time that it was started or reset
	loop  bool      // b.Loop has been called
}

// timerFields holds the offsets of testing.B's fields, checked by name and type; known is false when this Go
// version has others.
var timerFields = func() (f struct {
	known           bool
	on, start, loop uintptr
}) {
	b := reflect.TypeFor[testing.B]()
	on, ok1 := b.FieldByName("timerOn")
	start, ok2 := b.FieldByName("start")
	loop, ok3 := b.FieldByName("loop")
	if !ok1 || !ok2 || !ok3 || on.Type.Kind() != reflect.Bool || start.Type.Kind() != reflect.Struct || loop.Type.Kind() != reflect.Struct {
		return f
	}
	now, ok1 := start.Type.FieldByName("now")
	n, ok2 := loop.Type.FieldByName("n")
	if !ok1 || !ok2 || now.Type != reflect.TypeFor[time.Time]() || n.Type.Kind() != reflect.Uint64 {
		return f
	}
	f.on, f.loop = on.Offset, loop.Offset+n.Offset
	// start is a field of the embedded struct common.
	common, ok := b.FieldByName("common")
	f.start = common.Offset + now.Offset
	if len(start.Index) == 2 && start.Index[0] == common.Index[0] {
		f.start += common.Type.Field(start.Index[1]).Offset
		f.known = ok
	}
	return f
}()

func readTimer(b *testing.B) timerState {
	if !timerFields.known {
		return timerState{}
	}
	at := unsafe.Pointer(b)
	return timerState{
		on:    *(*bool)(unsafe.Add(at, timerFields.on)),
		start: *(*time.Time)(unsafe.Add(at, timerFields.start)),
		loop:  *(*uint64)(unsafe.Add(at, timerFields.loop)) != 0,
	}
}
