package look

import (
	"fmt"
	"time"
)

// The rules. They read the history: the recent moments, and those of the whole life of the process.
//
// What grows is judged by its floor: the moments are cut in four quarters of equal number, and the floor of a quarter is
// its smallest value. So neither the teeth of a garbage collector's saw nor a burst that is over count as growth.
const (
	// minMoments: with fewer, nothing is said about growth.
	minMoments = 20
	// minGrowth and minShare: growth below either is not worth a verdict.
	minGrowth = 16 << 20
	minShare  = 0.05 // of RSS
	// sureShare: the part that grew most is named as sure when it makes up this share of all that grew.
	sureShare = 0.6
	// minWaiting and waitingShare: C memory allocated since the last garbage collection, below either is no reason to look.
	minWaiting   = 24 << 20
	waitingShare = 0.25 // of RSS
	// waitingMoments: so many measurements must all have it. What came just now may go as soon.
	waitingMoments = 5
	// gcFrees: a garbage collection that took this share of the C memory allocated since the one before shows that
	// finalizers free it.
	gcFrees = 0.5
	// minKept and keptShare: what malloc keeps, below either is its normal way of working.
	minKept   = 24 << 20
	keptShare = 0.25 // of RSS
)

// kind is what a verdict says.
type kind string

const (
	kindTooEarly   kind = "not-enough-history"
	kindFine       kind = "nothing-unusual"
	kindLeak       kind = "c-leak"
	kindUnseen     kind = "c-unseen"
	kindFinalizers kind = "finalizers"
	kindRetention  kind = "retention"
	kindGoHeap     kind = "go-heap"
	kindGoStacks   kind = "go-stacks"
	kindThreads    kind = "threads"
	kindMapped     kind = "mapped"
)

// verdict is one sentence, its evidence and the next step.
type verdict struct {
	Kind     kind
	Sure     string // certain, likely, possible
	Sentence string
	Evidence []string
	Next     string
	Window   time.Duration // that growth was looked at in; 0 when it doesn't matter
	Growth   int64
	begin    time.Time // of the window
}

// judge applies the rules in their order; the first that fits is the verdict.
func judge(recent, life []moment) verdict {
	if len(recent) == 0 {
		return verdict{Kind: kindTooEarly, Sure: "certain", Sentence: "Nothing has been measured yet.",
			Next: "Come back in some seconds."}
	}
	now := &recent[len(recent)-1]
	for _, rule := range []func() (verdict, bool){
		func() (verdict, bool) { return waiting(recent) },
		func() (verdict, bool) { return growing(recent) },
		func() (verdict, bool) { return growing(life) },
		func() (verdict, bool) { return kept(now) },
	} {
		if v, ok := rule(); ok {
			return v
		}
	}
	if len(recent) < minMoments {
		return verdict{Kind: kindTooEarly, Sure: "certain",
			Sentence: fmt.Sprintf("Not enough history to say: %d moments of the %d that a verdict on growth needs.", len(recent), minMoments),
			Next:     "Come back in a minute, while the program works."}
	}
	window := now.time.Sub(life[0].time)
	return verdict{Kind: kindFine, Sure: "likely", Window: window, begin: life[0].time,
		Sentence: fmt.Sprintf("Nothing unusual: no part of memory kept growing in the last %s.", duration(window)),
		Next:     "Look at the largest lines below, or come back when RSS has grown."}
}

// Rule 1, finalizers waiting: much C memory was allocated since the last garbage collection, so what hangs on Go objects
// could not be freed. When earlier collections freed none of theirs it is not this rule's.
func waiting(moments []moment) (verdict, bool) {
	now := &moments[len(moments)-1]
	first := sinceGC(moments)
	base := &moments[first]
	if len(moments)-first < waitingMoments {
		return verdict{}, false
	}
	for i := range moments[len(moments)-waitingMoments:] {
		m := &moments[len(moments)-waitingMoments+i]
		if int64(m.cLiveBytes)-int64(base.cLiveBytes) < minWaiting {
			return verdict{}, false
		}
	}
	grown := int64(now.cLiveBytes) - int64(base.cLiveBytes)
	if grown < minWaiting || float64(grown) < waitingShare*float64(now.rss) || grown < int64(now.cMargin) {
		return verdict{}, false
	}
	freed, grew := gcEffect(moments)
	if grew > minWaiting && float64(freed) < gcFrees*float64(grew) {
		return verdict{}, false // collections ran and freed nothing of it
	}
	v := verdict{Kind: kindFinalizers, Sure: "likely", Growth: grown, Window: now.time.Sub(base.time), begin: base.time}
	since := "since the program started"
	if now.gcCycles > 0 {
		since = fmt.Sprintf("for %s", duration(now.time.Sub(now.lastGC)))
	}
	v.Sentence = fmt.Sprintf("C memory is likely waiting for Go finalizers: %s of it came to be live, and the garbage collector has not run %s.",
		size(grown), since)
	v.Evidence = []string{
		fmt.Sprintf("C live %s ± %s, Go heap %s: the collector sees no reason to run", size(now.cLiveBytes), size(now.cMargin), size(now.goObjects)),
	}
	if grew > minWaiting {
		v.Sure = "certain"
		v.Evidence = append(v.Evidence, fmt.Sprintf("earlier collections freed %s of the %s that had come before them", size(freed), size(grew)))
	} else {
		v.Evidence = append(v.Evidence, "no collection so far had that much to free, so a leak looks the same until one runs")
	}
	v.Next = "Press gc below. If C live falls, close these objects in the Go code as soon as they are done with (Close, Delete), " +
		"or lower GOGC; if it stays, it is a leak, and this page will say so."
	return v, true
}

// sinceGC returns the index of the first moment after the last garbage collection, or of the first of all.
func sinceGC(moments []moment) int {
	last := len(moments) - 1
	for i := last; i > 0; i-- {
		if moments[i-1].gcCycles != moments[last].gcCycles {
			return i
		}
	}
	return 0
}

// gcEffect adds up, over all garbage collections but the time since the last, how much C live had grown before each and
// how much of that was gone after it.
func gcEffect(moments []moment) (freed, grew int64) {
	start := int64(moments[0].cLiveBytes)
	for i := 1; i < len(moments); i++ {
		if moments[i].gcCycles == moments[i-1].gcCycles {
			continue
		}
		// The collection ran before moments[i]; finalizers may take until the next.
		before := int64(moments[i-1].cLiveBytes)
		after := int64(moments[i].cLiveBytes)
		if i+1 < len(moments) {
			after = min(after, int64(moments[i+1].cLiveBytes))
		}
		if before > start {
			grew += before - start
			freed += min(max(before-after, 0), before-start)
		}
		start = after
	}
	return freed, grew
}

// candidate is something that may grow.
type candidate struct {
	kind  kind
	name  string
	value func(*moment) uint64
}

var candidates = []candidate{
	{kindLeak, "C live", func(m *moment) uint64 { return m.cLiveBytes }},
	{kindUnseen, "C memory in use that cgoheap doesn't see", func(m *moment) uint64 { return m.resident[cMore] }},
	{kindRetention, "C memory freed but kept by malloc", func(m *moment) uint64 { return m.resident[cFree] }},
	{kindGoHeap, "the live Go heap", func(m *moment) uint64 { return m.goMarked }},
	{kindGoStacks, "Go stacks", func(m *moment) uint64 { return m.resident[goStacks] }},
	{kindThreads, "thread stacks", func(m *moment) uint64 { return m.resident[threadStacks] }},
	{kindMapped, "anonymous mappings (mmap)", func(m *moment) uint64 { return m.resident[mapped] }},
	{kindMapped, "mapped files and shared memory", func(m *moment) uint64 { return m.resident[files] }},
}

const goStacksCandidate = 4

// perCycle returns one moment for each garbage collection, the first after it: the live Go heap is known at collections only,
// and they come the more rarely the larger the heap is.
func perCycle(moments []moment) (cycles []moment) {
	for i := range moments {
		if i == 0 || moments[i].gcCycles != moments[i-1].gcCycles {
			cycles = append(cycles, moments[i])
		}
	}
	return cycles
}

// growth returns how much the floor of a value rose from the first quarter to the last, and whether it was still rising.
func growth(moments []moment, value func(*moment) uint64) (total int64, rising bool) {
	var floors [4]int64
	if len(moments) < len(floors) {
		return 0, false
	}
	for q := range floors {
		part := moments[q*len(moments)/4 : (q+1)*len(moments)/4]
		floors[q] = int64(value(&part[0]))
		for i := range part {
			floors[q] = min(floors[q], int64(value(&part[i])))
		}
	}
	total = floors[3] - floors[0]
	return total, total > 0 && floors[2] >= floors[0] && floors[3]-floors[2] >= total/8
}

// Rule 2, growth: the part that grew most in the window.
func growing(moments []moment) (verdict, bool) {
	if len(moments) < minMoments {
		return verdict{}, false
	}
	first, now := &moments[0], &moments[len(moments)-1]
	var best candidate
	var most, all, stacks int64
	for _, c := range candidates {
		over := moments
		if c.kind == kindGoHeap {
			over = perCycle(moments)
		}
		g, rising := growth(over, c.value)
		if c.kind == kindGoStacks {
			stacks = g
		}
		if !rising || c.kind == kindLeak && g < int64(now.cMargin) { // within the error of the estimate
			continue
		}
		all += g
		if g > most {
			best, most = c, g
		}
	}
	if most < minGrowth || float64(most) < minShare*float64(now.rss) {
		return verdict{}, false
	}
	if best.kind == kindGoHeap && stacks > most {
		// Each goroutine has something on the heap too, which the collector may come to later.
		best, most = candidates[goStacksCandidate], stacks
		all = max(all, most)
	}
	window := now.time.Sub(first.time)
	// From the floor of the first quarter to that of the last: what grows has its floors where the quarters begin.
	took := window * 3 / 4
	v := verdict{Kind: best.kind, Sure: "likely", Growth: most, Window: window, begin: first.time}
	if float64(most) >= sureShare*float64(all) {
		v.Sure = "certain"
	}
	v.Evidence = []string{fmt.Sprintf("%s grew by %s in %s, of %s that kept growing in all; RSS went from %s to %s in %s",
		best.name, size(most), duration(took), size(all), size(first.rss), size(now.rss), duration(window))}
	switch best.kind {
	case kindLeak:
		v.Sentence = fmt.Sprintf("A C leak: live C memory grew by %s in %s (%s a minute) and goes on.", size(most), duration(took), perMinute(most, took))
		freed, grew := gcEffect(moments)
		switch {
		case now.gcCycles == first.gcCycles:
			v.Sure = "possible"
			v.Evidence = append(v.Evidence, "the garbage collector has not run in that time, so it may be memory that waits for finalizers: press gc")
		case grew > 0:
			v.Evidence = append(v.Evidence, fmt.Sprintf("%d garbage collections freed %s of the %s that came before them: it does not wait for finalizers",
				now.gcCycles-first.gcCycles, size(freed), size(grew)))
		}
		v.Next = "The stacks below that grew most name the C line, the Go call and your code. Find who should free that."
	case kindUnseen:
		v.Sentence = fmt.Sprintf("C memory grew by %s in %s where cgoheap doesn't look.", size(most), duration(took))
		v.Next = `Import _ "github.com/cgoheap/cgoheap/go/interpose" to see every malloc of the process, and come back.`
	case kindRetention:
		v.Sentence, v.Next = keptWords(now)
	case kindGoHeap:
		v.Sentence = fmt.Sprintf("It is Go's heap: what is live after garbage collection grew by %s in %s.", size(most), duration(took))
		v.Next = "Go's own heap profile has it: go tool pprof with /debug/pprof/heap."
	case kindGoStacks:
		v.Sentence = fmt.Sprintf("It is Go's stacks: they grew by %s in %s, with %d goroutines now after %d.", size(most), duration(took), now.goroutines, first.goroutines)
		v.Next = "See what the goroutines wait for: go tool pprof with /debug/pprof/goroutine."
	case kindThreads:
		v.Sentence = fmt.Sprintf("It is stacks of threads: they grew by %s in %s, with %d threads of Go's now after %d.", size(most), duration(took), now.threads, first.threads)
		v.Next = "See who makes threads: /debug/pprof/threadcreate for Go's; a C library's are not in there."
	case kindMapped:
		v.Sentence = fmt.Sprintf("It is memory that is mapped past malloc and Go: %s grew by %s in %s.", best.name, size(most), duration(took))
		v.Next = "Look for calls of mmap: the largest mappings are listed below; strace -f -k -e trace=mmap -p PID shows who makes them."
	}
	return v, true
}

// Rule 3, retention: malloc keeps much that is free, more than is live.
func kept(now *moment) (verdict, bool) {
	k := now.resident[cFree]
	if k < minKept || float64(k) < keptShare*float64(now.rss) || k < now.resident[cLive]+now.resident[cMmapped] {
		return verdict{}, false
	}
	v := verdict{Kind: kindRetention, Sure: "certain", Growth: int64(k)}
	v.Sentence, v.Next = keptWords(now)
	v.Evidence = []string{fmt.Sprintf("%s of RSS %s are free in malloc, and %s ± %s are live", size(k), size(now.rss), size(now.cLiveBytes), size(now.cMargin))}
	return v, true
}

func keptWords(now *moment) (sentence, next string) {
	return fmt.Sprintf("The allocator keeps %s of C memory that the program has freed: there is nothing to find in the code that allocates.",
			size(now.resident[cFree])),
		"Press trim below. If RSS falls and stays low it was a peak; if it comes back, set M_TRIM_THRESHOLD or MALLOC_ARENA_MAX, or use " +
			"another allocator; if it doesn't fall, few live blocks hold many pages: the stacks below that outlived the peak are theirs."
}
