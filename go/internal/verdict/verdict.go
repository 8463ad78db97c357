package verdict

import (
	"time"

	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// The thresholds of the rules. They read the recent moments, and those of the whole life of the process.
const (
	// minMoments: with fewer, nothing is said about growth.
	minMoments = 20
	// minGrowth and minShare: growth below either is not worth a verdict.
	minGrowth = 16 << 20
	minShare  = 0.05 // of RSS
	// A growth is likely what the verdict says when it was watched for so many moments and so long, doesn't slow down and doesn't
	// follow the load; and certainly when it was watched for certainTime and was steady. Before, a cache that fills up looks the same,
	// and after a start caches fill up for minutes. mainShare: it makes up this share of all that grew.
	likelyMoments = 60
	likelyTime    = 5 * time.Minute
	certainTime   = time.Hour
	mainShare     = 0.6
	// tailTime: what begins after likelyTime of something else is likely sooner, where it is much.
	tailTime = 2 * time.Minute
	// halfTime: the second half of a window is looked at alone when it is so long.
	halfTime = time.Minute
	// loadShare: where the rate of allocation rose by this share of what live memory rose by, live memory may follow the load.
	loadShare = 0.5
	// minWaiting and waitingShare: C memory allocated since the last garbage collection, below either is no reason to look.
	minWaiting   = 24 << 20
	waitingShare = 0.25 // of RSS
	// waitingMoments: so many measurements must all have it. What came just now may go as soon.
	waitingMoments = 5
	// gcFrees: a garbage collection that took this share of the C memory allocated since the one before shows that
	// finalizers free it.
	gcFrees = 0.5
	// blockedTime: when none of the finalizers that are due has run for so long, one of them blocks the others; after twice that it is
	// likely, however short the growth was watched.
	blockedTime = 30 * time.Second
	// minKept and keptShare: what malloc keeps, below either is its normal way of working; it must have kept it in each of
	// the last keptMoments. What the program doesn't come back to for keptLikely isn't between two bursts.
	minKept     = 24 << 20
	keptShare   = 0.25 // of RSS
	keptMoments = 5
	keptLikely  = 2 * time.Minute
	keptCertain = 10 * time.Minute
	// turnover: a program that allocates so many times as much in a minute as malloc keeps works with that memory; it may be
	// more than it needs, but is no sign of anything by itself.
	turnover = 10
)

// Kind is what a verdict says; the page's users read it in an attribute of its markup.
type Kind string

// The kinds.
const (
	TooEarly   Kind = "not-enough-history"
	Fine       Kind = "nothing-unusual"
	Leak       Kind = "c-leak"
	Unseen     Kind = "c-unseen"
	Finalizers Kind = "finalizers"
	Retention  Kind = "retention"
	GoHeap     Kind = "go-heap"
	GoStacks   Kind = "go-stacks"
	Threads    Kind = "threads"
	Mapped     Kind = "mapped"
	Own        Kind = "own"
)

// How sure a verdict is.
const (
	Certain  = "certain"
	Likely   = "likely"
	Possible = "possible"
)

// Verdict is one sentence, its evidence and the next step.
type Verdict struct {
	Kind     Kind
	Sure     string // Certain, Likely or Possible
	Sentence string
	Evidence []string
	Next     string
	Blind    []string      // what can't be seen, and bears on the verdict
	Window   time.Duration // that growth was looked at in; 0 when it doesn't matter
	Begin    time.Time     // of the window
	Growth   int64         // bytes
	Part     memory.Part   // that grew; of Kind Mapped it is Mapped or Files

	// WouldCollect: a garbage collection would decide between this verdict and another.
	WouldCollect bool
}

// Facts is what the rules know beside the moments. The zero value knows nothing.
type Facts struct {
	Trims      []Trim      // that were asked for, oldest first
	Collection *Collection // the last that the page made by itself
	Whole      bool        // every malloc of the process is seen
	Off        bool        // sampling is off
}

// Trim is a call of malloc_trim, and what it gave.
type Trim struct {
	Time                  time.Time
	FreeBefore, FreeAfter uint64 // resident and free in malloc
	Tops                  uint64 // the part of FreeAfter that trim doesn't reach
}

// Gave is how much the trim gave back to the system.
func (t *Trim) Gave() uint64 { return t.FreeBefore - min(t.FreeBefore, t.FreeAfter) }

// Collection is a garbage collection that was made to find out what it frees.
type Collection struct {
	Time          time.Time
	Waiting       uint64 // the growth of C memory since the collection before, that it was to explain
	Before, After uint64 // C memory in use
	Fresh         bool   // it was made for this very verdict
}

// Freed is how much C memory it freed.
func (c *Collection) Freed() uint64 { return c.Before - min(c.Before, c.After) }

// explains says whether what had come before it was waiting for finalizers.
func (c *Collection) explains() bool { return float64(c.Freed()) >= gcFrees*float64(c.Waiting) }

// Evaluate applies the rules in their order; the first that fits is the verdict. recent are moments one after the other, life
// those of the whole life of the process; both are oldest first and end with now.
func Evaluate(recent, life []memory.Moment, f Facts) Verdict {
	if len(recent) == 0 {
		return nothingMeasured()
	}
	if v, ok := collected(recent, f); ok {
		return v
	}
	for _, rule := range []func() (Verdict, bool){
		func() (Verdict, bool) { return waiting(recent, f) },
		func() (Verdict, bool) { return surer(recent, life, f) },
		func() (Verdict, bool) { return kept(recent, f) },
	} {
		if v, ok := rule(); ok {
			return v
		}
	}
	if len(recent) < minMoments {
		return tooEarly(len(recent))
	}
	return fine(recent, life)
}

// Rule 1, finalizers that have just run: the page has collected garbage, and C memory went.
func collected(recent []memory.Moment, f Facts) (Verdict, bool) {
	c := f.Collection
	if c == nil || !c.Fresh || !c.explains() {
		return Verdict{}, false
	}
	return collectedWords(c, &recent[len(recent)-1]), true
}

// Rule 2, finalizers waiting: much C memory was allocated since the last garbage collection, so what hangs on Go objects
// could not be freed. When earlier collections freed none of theirs it is not this rule's. Whether there are finalizers at
// all is known when earlier collections freed C memory; else it is possible at most, and a collection would tell.
func waiting(moments []memory.Moment, f Facts) (Verdict, bool) {
	now := &moments[len(moments)-1]
	first := sinceGC(moments)
	base := &moments[first]
	if len(moments)-first < waitingMoments {
		return Verdict{}, false
	}
	for i := len(moments) - waitingMoments; i < len(moments); i++ {
		if int64(moments[i].CLive)-int64(base.CLive) < minWaiting {
			return Verdict{}, false
		}
	}
	grown := int64(now.CLive) - int64(base.CLive)
	if grown < minWaiting || float64(grown) < waitingShare*float64(now.RSS) || grown < int64(now.CMargin) {
		return Verdict{}, false
	}
	freed, grew := gcEffect(moments)
	known := grew > minWaiting
	if known && float64(freed) < gcFrees*float64(grew) {
		return Verdict{}, false // collections ran and freed nothing of it
	}
	if c := f.Collection; c != nil && !c.explains() && !c.Time.Before(moments[0].Time) {
		return Verdict{}, false // the page has tried
	}
	v := waitingWords(now, base, grown)
	if known {
		v.Sure = Likely
		v.Evidence = append(v.Evidence, gcFreedWords(freed, grew))
	}
	return v, true
}

// sinceGC returns the index of the first moment after the last garbage collection, or of the first of all.
func sinceGC(moments []memory.Moment) int {
	last := len(moments) - 1
	for i := last; i > 0; i-- {
		if moments[i-1].GCCycles != moments[last].GCCycles {
			return i
		}
	}
	return 0
}

// gcEffect adds up, over all garbage collections but the time since the last, how much C live had grown before each and
// how much of that was gone after it.
func gcEffect(moments []memory.Moment) (freed, grew int64) {
	start := int64(moments[0].CLive)
	for i := 1; i < len(moments); i++ {
		if moments[i].GCCycles == moments[i-1].GCCycles {
			continue
		}
		// The collection ran before moments[i]; finalizers may take until the next.
		before := int64(moments[i-1].CLive)
		after := int64(moments[i].CLive)
		if i+1 < len(moments) {
			after = min(after, int64(moments[i+1].CLive))
		}
		if before > start {
			grew += before - start
			freed += min(max(before-after, 0), before-start)
		}
		start = after
	}
	return freed, grew
}

// candidate is something that may grow. All values are resident bytes, since RSS is what the reader saw growing; limit bounds
// the growth by what is known to have been asked for.
type candidate struct {
	kind  Kind
	part  memory.Part
	name  string
	value func(*memory.Moment) uint64
	limit func(*memory.Moment) uint64
}

func resident(p memory.Part) func(*memory.Moment) uint64 {
	return func(m *memory.Moment) uint64 { return m.Resident[p] }
}

var candidates = []candidate{
	{Leak, memory.CLive, "C live", func(m *memory.Moment) uint64 { return m.CResident() + m.Overhead() },
		func(m *memory.Moment) uint64 { return m.CLive + m.COverhead }},
	{Unseen, memory.CMore, "C memory in use that cgoheap doesn't see", func(m *memory.Moment) uint64 { return m.Resident[memory.CMore] - m.Overhead() }, nil},
	{Retention, memory.CFree, "C memory freed but kept by malloc", resident(memory.CFree), nil},
	{GoHeap, memory.GoLive, "the live Go heap", resident(memory.GoLive), func(m *memory.Moment) uint64 { return m.GoMarked }},
	{GoHeap, memory.GoDead, "Go memory that was not collected yet", resident(memory.GoDead), nil},
	{GoStacks, memory.GoStacks, "Go stacks", resident(memory.GoStacks), nil},
	{Threads, memory.ThreadStacks, "thread stacks", resident(memory.ThreadStacks), nil},
	{Mapped, memory.Mapped, "anonymous mappings (mmap)", resident(memory.Mapped), nil},
	{Mapped, memory.Files, "mapped files and shared memory", resident(memory.Files), nil},
	{Own, memory.Own, "cgoheap's own memory", resident(memory.Own), nil},
}

// growth of a candidate over some moments.
func (c *candidate) growth(moments []memory.Moment) trend {
	if c.part == memory.GoLive {
		moments = perCycle(moments)
	}
	t := trendOf(moments, c.value)
	if c.limit != nil {
		asked := trendOf(moments, c.limit)
		t.total = min(t.total, asked.total)
		t.rising = t.rising && asked.rising
		t.steady = t.steady && asked.steady
		t.even = t.even && asked.even
		t.settled = t.settled && asked.settled
	}
	return t
}

// surer applies rule 3 to the recent moments, to the last of them and to the whole life, and returns the surest verdict.
func surer(recent, life []memory.Moment, f Facts) (best Verdict, found bool) {
	rank := map[string]int{Possible: 1, Likely: 2, Certain: 3}
	windows := []window{{moments: recent, life: life}, {moments: life, recent: recent}}
	// What caches take after the start is in the first half, and what leaks in both.
	for _, all := range []window{{moments: recent}, {moments: life, recent: recent}} {
		if half := secondHalf(all.moments); len(half) > 0 && half[len(half)-1].Time.Sub(half[0].Time) >= halfTime {
			windows = append(windows, window{moments: half, life: life, recent: all.recent, half: true})
		}
	}
	if len(recent) >= 2*likelyMoments {
		windows = append(windows, window{moments: recent[len(recent)-max(likelyMoments, len(recent)/6):], life: life, tail: true})
	}
	for _, w := range windows {
		if v, ok := growing(w, f); ok && (!found || rank[v.Sure] > rank[best.Sure]) {
			best, found = v, true
		}
	}
	return best, found
}

// secondHalf returns the moments of the second half of their time.
func secondHalf(moments []memory.Moment) []memory.Moment {
	if len(moments) == 0 {
		return nil
	}
	last := moments[len(moments)-1].Time
	middle := last.Add(-last.Sub(moments[0].Time) / 2)
	for i := range moments {
		if !moments[i].Time.Before(middle) {
			return moments[i:]
		}
	}
	return nil
}

// window is moments that growth is looked for in.
type window struct {
	moments []memory.Moment
	life    []memory.Moment // what was before; nil when moments are all
	recent  []memory.Moment // the last of a long window; nil when moments are recent themselves
	half    bool            // the second half of moments, looked at alone
	tail    bool            // the very last of the recent moments: what begins to grow now, and may stop as soon
}

// Rule 3, growth: the part that grew most in the window.
func growing(w window, f Facts) (Verdict, bool) {
	moments := w.moments
	if len(moments) < minMoments {
		return Verdict{}, false
	}
	first, now := &moments[0], &moments[len(moments)-1]
	length := now.Time.Sub(first.Time)
	// From the floor of the first slice to that of the last: what grows has its floors where the slices begin.
	took := length * (parts - 1) / parts
	var best *candidate
	var most trend
	var all, stacks int64
	for i := range candidates {
		c := &candidates[i]
		noise := int64(0)
		if c.kind == Leak {
			noise = int64(now.CMargin)
		}
		t := c.growth(moments)
		if c.kind == GoStacks {
			stacks = t.total
		}
		if !t.rising || t.total < noise { // within the error of the estimate
			continue
		}
		if w.recent != nil && flat(w.recent, t.total, took, noise, c.value) {
			continue
		}
		all += t.total
		if t.total > most.total {
			best, most = c, t
		}
	}
	if best == nil || most.total < minGrowth || float64(most.total) < minShare*float64(now.RSS) {
		return Verdict{}, false
	}
	if best.part == memory.GoLive && stacks > most.total {
		// Each goroutine has something on the heap too, which the collector may come to later.
		for i := range candidates {
			if candidates[i].kind == GoStacks {
				best, most.total = &candidates[i], stacks
			}
		}
		all = max(all, most.total)
	}
	v := Verdict{Kind: best.kind, Part: best.part, Sure: Possible, Growth: most.total, Window: length, Begin: first.Time}
	before := w.life != nil && wasAsHigh(w.life, first.Time, most.floor, best.value)
	watched := len(moments) >= likelyMoments && length >= likelyTime
	if w.tail { // much, or it is too early to say
		earlier := first.Time.Sub(w.life[0].Time)
		watched = len(moments) >= likelyMoments && length >= tailTime && earlier >= likelyTime && most.steady && most.total >= int64(first.RSS)/2
	}
	load := 0.0
	if best.kind == Leak || best.kind == Retention {
		load = followsLoad(moments, best.value)
	}
	even := most.even
	if w.half {
		even = most.settled
	}
	if watched && even && !before && load == 0 {
		v.Sure = Likely
		if length >= certainTime && most.steady && float64(most.total) >= mainShare*float64(all) {
			v.Sure = Certain
		}
	}
	growingWords(&v, best, moments, all, took, f)
	if best.kind == Leak || best.part == memory.GoLive {
		blocked(&v, best, moments, took)
	}
	if !watched {
		v.Evidence = append(v.Evidence, watchedWords(length))
	}
	if before {
		v.Evidence = append(v.Evidence, "it was as high before this window, so it may come and go")
	}
	if !even {
		v.Evidence = append(v.Evidence, "it grows more slowly than at first, as a cache does that fills up")
	}
	if load > 0 {
		v.Evidence = append(v.Evidence, loadWords(load))
	}
	if best.kind == Retention {
		worksWith(&v, moments)
	}
	return v, true
}

// blocked makes a verdict one on finalizers where none has run for some time although some are due: what hangs on them isn't freed,
// in C nor in Go, however often garbage is collected.
func blocked(v *Verdict, best *candidate, moments []memory.Moment, took time.Duration) {
	for _, q := range []struct {
		queue          func(*memory.Moment) memory.Queue
		name, function string
	}{
		{func(m *memory.Moment) memory.Queue { return m.Finalizers }, "finalizers", "runtime.runFinalizers"},
		{func(m *memory.Moment) memory.Queue { return m.Cleanups }, "cleanups", "runtime.runCleanups"},
	} {
		now := &moments[len(moments)-1]
		last, since := q.queue(now), now
		for i := len(moments) - 1; i >= 0; i-- {
			if at := q.queue(&moments[i]); at.Run != last.Run || at.Queued <= at.Run {
				break
			}
			since = &moments[i]
		}
		if stands := now.Time.Sub(since.Time); stands >= blockedTime {
			v.Kind, v.WouldCollect = Finalizers, false
			if v.Sure == Certain || stands >= 2*blockedTime {
				v.Sure = Likely // not all that grew need hang on them
			}
			blockedWords(v, best, q.name, q.function, last.Queued-last.Run, stands, took)
			return
		}
	}
}

// Rule 4, retention: malloc keeps much that is free, more than is live.
func kept(recent []memory.Moment, f Facts) (Verdict, bool) {
	now := &recent[len(recent)-1]
	since := len(recent)
	for since > 0 && isKept(&recent[since-1]) {
		since--
	}
	// With fewer moments than are looked at, what there is must do.
	if len(recent)-since < min(keptMoments, len(recent)) {
		return Verdict{}, false
	}
	v := Verdict{Kind: Retention, Part: memory.CFree, Sure: Possible, Growth: int64(now.Resident[memory.CFree])}
	switch held := now.Time.Sub(recent[since].Time); {
	case held >= keptCertain && !now.MallocEstimated:
		v.Sure = Certain
	case held >= keptLikely:
		v.Sure = Likely
	}
	keptWords(&v, now, f)
	worksWith(&v, recent[since:])
	return v, true
}

// worksWith lowers a verdict on what malloc keeps to possible where the program works with that memory.
func worksWith(v *Verdict, moments []memory.Moment) {
	first, now := &moments[0], &moments[len(moments)-1]
	minutes := now.Time.Sub(first.Time).Minutes()
	if minutes <= 0 || now.CAlloc <= first.CAlloc {
		return
	}
	if rate := float64(now.CAlloc-first.CAlloc) / minutes; rate >= turnover*float64(now.Resident[memory.CFree]) {
		v.Sure = Possible
		v.Evidence = append(v.Evidence, workingWords(rate))
	}
}

func isKept(m *memory.Moment) bool {
	k := m.Resident[memory.CFree]
	return k >= minKept && float64(k) >= keptShare*float64(m.RSS) && k >= m.CResident()
}
