package verdict

import (
	"fmt"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/human"
	"github.com/cgoheap/cgoheap/go/internal/memory"
)

func nothingMeasured() Verdict {
	return Verdict{Kind: TooEarly, Sure: Certain, Sentence: "Nothing has been measured yet.", Next: "Come back in some seconds."}
}

func tooEarly(moments int) Verdict {
	return Verdict{Kind: TooEarly, Sure: Certain,
		Sentence: fmt.Sprintf("Not enough history to say: %d moments of the %d that a verdict on growth needs.", moments, minMoments),
		Next:     "Come back in a minute, while the program works."}
}

func fine(recent, life []memory.Moment) Verdict {
	now := &recent[len(recent)-1]
	begin := now.Time
	if len(life) > 0 {
		begin = life[0].Time
	}
	window := now.Time.Sub(begin)
	return Verdict{Kind: Fine, Sure: Likely, Window: window, Begin: begin,
		Sentence: fmt.Sprintf("Nothing unusual: no part of memory kept growing in the last %s.", human.Duration(window)),
		Next:     "Look at the largest lines below, or come back when RSS has grown."}
}

func collectedWords(c *Collection, now *memory.Moment) Verdict {
	return Verdict{Kind: Finalizers, Part: memory.CLive, Sure: Certain, Growth: int64(c.Waiting),
		Sentence: fmt.Sprintf("C memory was waiting for Go finalizers: this page has run the garbage collector, and C live fell from %s to %s.",
			human.Size(c.Before), human.Size(c.After)),
		Evidence: []string{
			fmt.Sprintf("%s had come to be live since the collection before; the Go heap is %s, so that the collector saw no reason to run",
				human.Size(c.Waiting), human.Size(now.GoObjects)),
		},
		Next: "Close these objects in the Go code as soon as they are done with (Close, Delete), or lower GOGC: else it comes back.",
	}
}

func waitingWords(now, base *memory.Moment, grown int64) Verdict {
	v := Verdict{Kind: Finalizers, Part: memory.CLive, Sure: Possible, Growth: grown, Window: now.Time.Sub(base.Time), Begin: base.Time, WouldCollect: true}
	since := "since the program started"
	if now.GCCycles > 0 {
		since = "for " + human.Duration(now.Time.Sub(now.LastGC))
	}
	v.Sentence = fmt.Sprintf("C memory may be waiting for Go finalizers, or leak: %s of it came to be live, and the garbage collector has not run %s.",
		human.Size(grown), since)
	v.Evidence = []string{fmt.Sprintf("C live %s ± %s, Go heap %s: the collector sees no reason to run",
		human.Size(now.CLive), human.Size(now.CMargin), human.Size(now.GoObjects))}
	v.Next = "Press gc below. If C live falls, close these objects in the Go code as soon as they are done with (Close, Delete), " +
		"or lower GOGC; if it stays, it is a leak, and this page will say so."
	return v
}

func gcFreedWords(freed, grew int64) string {
	return fmt.Sprintf("earlier collections freed %s of the %s that had come before them", human.Size(freed), human.Size(grew))
}

func growingWords(v *Verdict, best *candidate, moments []memory.Moment, all int64, took time.Duration, f Facts) {
	first, now := &moments[0], &moments[len(moments)-1]
	most := v.Growth
	grew := fmt.Sprintf("%s in %s", human.Size(most), human.Duration(took))
	v.Evidence = []string{fmt.Sprintf("%s grew by %s, of %s that kept growing in all; RSS went from %s to %s in %s",
		best.name, grew, human.Size(all), human.Size(first.RSS), human.Size(now.RSS), human.Duration(v.Window))}
	switch best.kind {
	case Leak:
		leakWords(v, moments, took, f)
	case Unseen:
		v.Sentence = fmt.Sprintf("C memory grew by %s where cgoheap doesn't look.", grew)
		switch {
		case f.Off:
			v.Next = "Sampling is off: switch it on with cgoheap.SetRate, and come back."
		case f.Whole:
			v.Next = "Every malloc by name is seen, so this is taken past it: a library that was loaded with RTLD_DEEPBIND or dlmopen, or that " +
				"calls __libc_malloc. Perf or gdb on brk and mmap shows who."
		default:
			v.Next = `Import _ "github.com/cgoheap/cgoheap/go/interpose" to see every malloc of the process, and come back.`
		}
	case Retention:
		keptWords(v, now, f)
	case GoHeap:
		v.Next = "Go's own heap profile has it: go tool pprof with /debug/pprof/heap."
		if best.part == memory.GoDead {
			v.Sentence = fmt.Sprintf("It is Go's heap: what was allocated and not collected grew by %s.", grew)
			if now.GCCycles == first.GCCycles {
				v.Sentence += " The garbage collector has not run in that time: see GOGC and GOMEMLIMIT."
			}
		} else {
			v.Sentence = fmt.Sprintf("It is Go's heap: what is live after garbage collection grew by %s.", grew)
		}
	case GoStacks:
		v.Sentence = fmt.Sprintf("It is Go's stacks: they grew by %s, with %d goroutines now after %d.", grew, now.Goroutines, first.Goroutines)
		v.Next = "See what the goroutines wait for: go tool pprof with /debug/pprof/goroutine."
	case Threads:
		v.Sentence = fmt.Sprintf("It is stacks of threads: they grew by %s, with %d threads of Go's now after %d.", grew, now.Threads, first.Threads)
		v.Next = "See who makes threads: /debug/pprof/threadcreate for Go's; a C library's are not in there."
	case Mapped:
		v.Sentence = fmt.Sprintf("It is memory that is mapped past malloc and Go: %s grew by %s.", best.name, grew)
		if best.part == memory.Mapped {
			v.Next = "Look for calls of mmap: the largest mappings are listed below; strace -f -k -e trace=mmap -p PID shows who makes them."
		} else {
			v.Next = "The files are listed below, by name. See who maps them and doesn't unmap them."
		}
	case Own:
		v.Sentence = fmt.Sprintf("It is cgoheap itself: its memory grew by %s.", grew)
		v.Next = "A larger sampling interval (cgoheap.SetRate) needs less. Please report it."
	}
}

func leakWords(v *Verdict, moments []memory.Moment, took time.Duration, f Facts) {
	first, now := &moments[0], &moments[len(moments)-1]
	what := "A C leak"
	if v.Sure == Possible {
		what = "A C leak, or a cache that fills up"
	}
	v.Sentence = fmt.Sprintf("%s: live C memory grew by %s in %s (%s a minute) and goes on.", what, human.Size(v.Growth), human.Duration(took), human.PerMinute(v.Growth, took))
	v.Next = "The stacks below that grew most name the C line, the Go call and your code. Find who should free that."
	freed, grew := gcEffect(moments)
	switch c := f.Collection; {
	case c != nil && !c.explains() && !c.Time.Before(first.Time):
		v.Evidence = append(v.Evidence, fmt.Sprintf("this page ran the garbage collector %s ago, which freed %s of the %s that had come since the one before: it does not wait for finalizers",
			human.Duration(max(now.Time.Sub(c.Time), 0)), human.Size(c.Freed()), human.Size(c.Waiting)))
	case now.GCCycles == first.GCCycles:
		v.Sure, v.WouldCollect = Possible, true
		v.Evidence = append(v.Evidence, "the garbage collector has not run in that time, so it may be memory that waits for finalizers: press gc")
	case grew > 0:
		v.Evidence = append(v.Evidence, fmt.Sprintf("%d garbage collections freed %s of the %s that came before them: it does not wait for finalizers",
			now.GCCycles-first.GCCycles, human.Size(freed), human.Size(grew)))
	}
}

func blockedWords(v *Verdict, best *candidate, name, function string, waiting uint64, stands, took time.Duration) {
	v.Sentence = fmt.Sprintf("Go's %s are blocked: %d of them are due, and none has run for %s. What hangs on them isn't freed, and %s grew by %s in %s.",
		name, waiting, human.Duration(stands), best.name, human.Size(v.Growth), human.Duration(took))
	v.Evidence = v.Evidence[:1]
	v.Next = fmt.Sprintf("See what the goroutine that runs them waits for: /debug/pprof/goroutine?debug=2, the one with %s. Until that call returns no other runs.", function)
}

func watchedWords(length time.Duration) string {
	return fmt.Sprintf("it was watched for %s: a cache that fills up looks the same for some minutes", human.Duration(length))
}

func loadWords(times float64) string {
	return fmt.Sprintf("C allocates %.1f times as much a minute as at the beginning of this window, so it may follow the load", times)
}

func workingWords(perMinute float64) string {
	return fmt.Sprintf("the program allocates and frees %s of C memory a minute, so it works with what malloc keeps: where RSS doesn't grow, leave it",
		human.Size(int64(perMinute)))
}

// vainShare: a trim that gave less than this share of what was free gave nothing.
const vainShare = 0.25

// keptWords says what malloc keeps, why trim doesn't give it back or did not, and what does. Trim is never advised when it
// was tried in vain, nor for what it doesn't reach.
func keptWords(v *Verdict, now *memory.Moment, f Facts) {
	free := now.Resident[memory.CFree]
	v.Sentence = fmt.Sprintf("The allocator keeps %s of C memory that the program has freed: there is nothing to find in the code that allocates.", human.Size(free))
	v.Evidence = append(v.Evidence, fmt.Sprintf("%s of RSS %s are free in malloc, and %s ± %s are live", human.Size(free), human.Size(now.RSS), human.Size(now.CLive), human.Size(now.CMargin)))
	tops := float64(now.CTops) >= float64(free)/2
	if now.CTops >= minKept/4 {
		v.Evidence = append(v.Evidence, fmt.Sprintf("%s of that are the free ends of %d thread arenas, which malloc_trim doesn't give back", human.Size(now.CTops), now.ArenaCount))
	}
	settings := "MALLOC_ARENA_MAX=2 in the environment has fewer arenas; MALLOC_TRIM_THRESHOLD_=131072 has each give its end back when it is larger, " +
		"and stops malloc from raising that threshold (which it does up to 64 MiB when a large block is freed)."
	var last *Trim
	if n := len(f.Trims); n > 0 {
		last = &f.Trims[n-1]
		v.Evidence = append(v.Evidence, fmt.Sprintf("trim was pressed %s ago and gave back %s of %s", human.Duration(max(now.Time.Sub(last.Time), 0)),
			human.Size(last.Gave()), human.Size(last.FreeBefore)))
	}
	vain := last != nil && float64(last.Gave()) < vainShare*float64(last.FreeBefore)
	switch {
	case tops:
		v.Next = "Trim does not reach this: it is the free ends of thread arenas. " + settings
	case last != nil && !vain && float64(free) >= float64(last.FreeAfter)+float64(last.Gave())/2:
		v.Next = "It came back after a trim, so the program needs it again and again: leave it, or set MALLOC_TRIM_THRESHOLD_ or MALLOC_ARENA_MAX, or use another allocator."
	case last != nil:
		v.Next = "Trim has given what it can. What is left lies between live blocks: few of them hold many pages, and the stacks below that outlived the peak are " +
			"theirs. MALLOC_ARENA_MAX, or another allocator, keeps them closer together."
	default:
		v.Next = "Press trim below. If RSS falls and stays low it was a peak; if it comes back, set MALLOC_TRIM_THRESHOLD_ or MALLOC_ARENA_MAX, or use another " +
			"allocator; if it doesn't fall, this page will say what holds it."
	}
}
