package verdict

import (
	"time"

	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// Growth is told by floors: the moments are cut in slices of equal number, and the floor of a slice is its smallest value. So
// neither the teeth of a garbage collector's saw nor a burst that is over count as growth.
const (
	parts = 8
	// goesOn: growth goes on when the second half of the window has at least this share of it, and the last quarter lastShare.
	// What is flat for half of the window has stopped.
	goesOn    = 1.0 / 4
	lastShare = 1.0 / 16
	// A step that is most of the growth is not growth but a step, as a model that is loaded; and growth has risingSlices at least
	// in which it rose by leastRise of it all.
	mostInAStep  = 0.7
	risingSlices = 3
	leastRise    = 1.0 / 64
	// Growth is even when the second half of the window has at least evenShare of it, and the last quarter evenLast; of growth at one
	// rate they have 4 and 2 parts in 7. A cache that fills up slows down.
	evenShare = 0.42
	evenLast  = 0.12
	// In a window that begins when something else has grown already, what is no cache has nearly its whole share.
	settledShare = 0.5
	settledLast  = 0.2
	// steadyFall: growth is steady when no floor is lower than the one before by more than this share of it all.
	steadyFall = 1.0 / 8
)

// trend is how a value went over some moments.
type trend struct {
	total  int64 // from the first floor to the last
	rising bool  // it has grown, and goes on
	steady bool  // nearly every floor is above the one before
	even   bool  // it doesn't slow down
	floor  int64 // the last
	// settled: even, and hardly slower at the end than at the beginning
	settled bool
}

func trendOf(moments []memory.Moment, value func(*memory.Moment) uint64) (t trend) {
	n := min(parts, len(moments))
	if n < 4 {
		return trend{}
	}
	var floors [parts]int64
	for s := range n {
		part := moments[s*len(moments)/n : (s+1)*len(moments)/n]
		floors[s] = int64(value(&part[0]))
		for i := range part {
			floors[s] = min(floors[s], int64(value(&part[i])))
		}
	}
	first, last := floors[0], floors[n-1]
	t.total, t.floor = last-first, last
	half, quarter := last-floors[n/2-1], last-floors[n-1-n/4]
	t.rising = t.total > 0 && float64(half) >= goesOn*float64(t.total) && float64(quarter) >= lastShare*float64(t.total)
	all, steady, rises := float64(t.total), true, 0
	for s := 1; s < n; s++ {
		step := float64(floors[s] - floors[s-1])
		steady = steady && -step <= steadyFall*all
		t.rising = t.rising && step <= mostInAStep*all
		if step >= leastRise*all {
			rises++
		}
	}
	t.rising = t.rising && rises >= min(risingSlices, n-2)
	t.steady = t.rising && steady
	t.even = t.rising && float64(half) >= evenShare*all && float64(quarter) >= evenLast*all
	t.settled = t.even && float64(half) >= settledShare*all && float64(quarter) >= settledLast*all
	return t
}

// flat says whether a value that grew over the life of the process has stopped growing lately: the recent moments have less
// than a quarter of what they would have at that rate. Growth too small to be told from noise is no sign of anything.
func flat(recent []memory.Moment, grown int64, took time.Duration, noise int64, value func(*memory.Moment) uint64) bool {
	if len(recent) < minMoments || took <= 0 {
		return false
	}
	// From the floor of the first slice to that of the last.
	span := recent[len(recent)-1].Time.Sub(recent[0].Time) * (parts - 1) / parts
	expected := float64(grown) * float64(span) / float64(took)
	if expected < float64(max(leastExpected, 2*noise)) {
		return false
	}
	return float64(trendOf(recent, value).total) < expected/4
}

// followsLoad returns how many times as much C allocates in the last third of the moments as in the first, where that may be why a
// value grew; else 0. A leak grows at a constant load too.
func followsLoad(moments []memory.Moment, value func(*memory.Moment) uint64) (times float64) {
	third := len(moments) / 3
	if third < 2 {
		return 0
	}
	last := moments[len(moments)-third:]
	rate := func(m []memory.Moment) float64 {
		if seconds := m[len(m)-1].Time.Sub(m[0].Time).Seconds(); seconds > 0 {
			return float64(m[len(m)-1].CAlloc-min(m[len(m)-1].CAlloc, m[0].CAlloc)) / seconds
		}
		return 0
	}
	mean := func(m []memory.Moment) float64 {
		sum := 0.0
		for i := range m {
			sum += float64(value(&m[i]))
		}
		return sum / float64(len(m))
	}
	before, after := rate(moments[:third]), rate(last)
	low, high := mean(moments[:third]), mean(last)
	if before <= 0 || low <= 0 || after <= before || after/before-1 < loadShare*(high/low-1) {
		return 0
	}
	return after / before
}

// leastExpected: less is not looked for in the recent moments.
const leastExpected = 4 << 20

// wasAsHigh says whether the value was as high as it is now before the moments that are looked at begin.
func wasAsHigh(life []memory.Moment, before time.Time, floor int64, value func(*memory.Moment) uint64) bool {
	for i := range life {
		if life[i].Time.Before(before) && int64(value(&life[i])) >= floor {
			return true
		}
	}
	return false
}

// perCycle returns one moment for each garbage collection, the first after it: the live Go heap is known at collections only,
// and they come the more rarely the larger the heap is.
func perCycle(moments []memory.Moment) (cycles []memory.Moment) {
	for i := range moments {
		if i == 0 || moments[i].GCCycles != moments[i-1].GCCycles {
			cycles = append(cycles, moments[i])
		}
	}
	return cycles
}
