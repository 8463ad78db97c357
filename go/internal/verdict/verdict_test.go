package verdict

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/memory"
)

const mib = 1 << 20

// story makes n moments.
func story(n int, apart time.Duration, tell func(i int, m *memory.Moment)) (moments []memory.Moment) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		m := memory.Moment{Time: begin.Add(time.Duration(i) * apart), RSS: 100 * mib, GCCycles: uint64(i / 5), LastGC: begin}
		tell(i, &m)
		moments = append(moments, m)
	}
	return moments
}

// live sets C memory in use, all of it resident.
func live(m *memory.Moment, bytes uint64) { m.CLive, m.Resident[memory.CLive] = bytes, bytes }

// goLive sets the live heap of Go, all of it resident.
func goLive(m *memory.Moment, bytes uint64) { m.GoMarked, m.Resident[memory.GoLive] = bytes, bytes }

func up(i int) uint64 { return uint64(i) * mib }

func TestRules(t *testing.T) {
	const minute, ten, long = time.Second, 10 * time.Second, 64 * time.Second // 60 moments are a minute, ten, or more than an hour
	for _, test := range []struct {
		name  string
		n     int
		apart time.Duration
		tell  func(i int, m *memory.Moment)
		want  Kind
		sure  string
	}{
		{"nothing happens", 60, minute, func(int, *memory.Moment) {}, Fine, Likely},
		{"too early", 5, minute, func(i int, m *memory.Moment) { live(m, up(i)) }, TooEarly, Certain},
		{"C live grows over collections", 60, long, func(i int, m *memory.Moment) { live(m, up(i)) }, Leak, Certain},
		{"C live grows for ten minutes", 60, ten, func(i int, m *memory.Moment) { live(m, up(i)) }, Leak, Likely},
		{"C live grows for a minute", 60, minute, func(i int, m *memory.Moment) { live(m, 10*up(i)) }, Leak, Possible},
		{"a cache fills up", 64, ten, func(i int, m *memory.Moment) { live(m, uint64(100*mib*(1-math.Exp(-float64(i)/40)))) }, Leak, Possible},
		{"C live follows the load", 60, ten, func(i int, m *memory.Moment) {
			live(m, 50*mib+up(i))
			m.CAlloc = uint64(i) * (50*mib + up(i)/2)
		}, Leak, Possible},
		{"C live grows while the load does a little", 60, ten, func(i int, m *memory.Moment) {
			live(m, 50*mib+up(i))
			m.CAlloc = uint64(i) * (500*mib + up(i)/2)
		}, Leak, Likely},
		{"C live grows within its error", 60, minute, func(i int, m *memory.Moment) { live(m, up(i)); m.CMargin = 100 * mib }, Fine, Likely},
		{"C live grows too little to matter", 60, minute, func(i int, m *memory.Moment) { live(m, up(i)/8); m.RSS = 1 << 30 }, Fine, Likely},
		{"C live grew and is full", 60, minute, func(i int, m *memory.Moment) { live(m, up(min(i, 20))) }, Fine, Likely},
		{"C live grew, and is flat for half of the window", 64, long, func(i int, m *memory.Moment) { live(m, 4*up(min(i, 32))) }, Fine, Likely},
		{"C live grew, and is flat for a third of the window", 64, long, func(i int, m *memory.Moment) { live(m, 4*up(min(i, 40))) }, Fine, Likely},
		{"a step in the middle", 60, long, func(i int, m *memory.Moment) { live(m, 60*mib*uint64(i/30)) }, Fine, Likely},
		{"a step lately", 60, long, func(i int, m *memory.Moment) { live(m, 60*mib*uint64(i/48)) }, Fine, Likely},
		{"a step after a little growth", 60, long, func(i int, m *memory.Moment) { live(m, up(i)/8+60*mib*uint64(i/50)) }, Fine, Likely},
		{"steps again and again", 64, long, func(i int, m *memory.Moment) { live(m, 20*mib*uint64(i/12)) }, Leak, Certain},
		{"it begins now, and fast", 600, 2 * time.Second, func(i int, m *memory.Moment) { live(m, 4*up(max(i-500, 0))) }, Leak, Likely},
		{"it begins soon after the start", 150, 2 * time.Second, func(i int, m *memory.Moment) { live(m, 6*up(max(i-85, 0))) }, Leak, Possible},
		{"it begins now, and slowly", 600, 2 * time.Second, func(i int, m *memory.Moment) { live(m, up(max(i-500, 0))/4) }, Leak, Possible},
		{"C live is never touched", 60, long, func(i int, m *memory.Moment) { m.CLive = 10 * up(i) }, Fine, Likely},
		{"C live takes what was freed: RSS stays", 60, long, func(i int, m *memory.Moment) {
			live(m, up(i))
			m.Resident[memory.CFree] = 60*mib - up(i)
		}, Leak, Certain},
		{"small blocks cost more than they hold", 60, long, func(i int, m *memory.Moment) {
			live(m, up(i)/16)
			m.COverhead = up(i)
			m.Resident[memory.CMore] = up(i)
		}, Leak, Certain},
		{"collections free it", 60, minute, func(i int, m *memory.Moment) { live(m, up(i%5)) }, Fine, Likely},
		{"a burst since the last collection", 60, minute, func(i int, m *memory.Moment) {
			m.GCCycles = 0
			live(m, 10*mib+10*mib*uint64(max(i-56, 0)))
		}, Fine, Likely},
		{"C live grows, no collection", 60, long, func(i int, m *memory.Moment) { live(m, up(i)); m.GCCycles = 0 }, Finalizers, Possible},
		{"C live grows since a collection that freed all", 60, minute, func(i int, m *memory.Moment) {
			m.GCCycles = uint64(i / 30)
			live(m, up(i%30))
		}, Finalizers, Likely},
		{"C live grows since a collection that freed nothing", 60, long, func(i int, m *memory.Moment) {
			m.GCCycles = uint64(i / 30)
			live(m, up(i))
		}, Leak, Certain},
		{"malloc keeps it for a minute", 60, minute, func(i int, m *memory.Moment) { m.Resident[memory.CFree] = 50 * mib }, Retention, Possible},
		{"malloc keeps it for some minutes", 60, 4 * minute, func(i int, m *memory.Moment) { m.Resident[memory.CFree] = 50 * mib }, Retention, Likely},
		{"malloc keeps it", 60, long, func(i int, m *memory.Moment) { m.Resident[memory.CFree] = 50 * mib }, Retention, Certain},
		{"malloc keeps ever more of what a busy program works with", 60, ten, func(i int, m *memory.Moment) {
			m.Resident[memory.CFree], m.CAlloc = up(i), 200*up(i)
			live(m, 70*mib)
		}, Retention, Possible},
		{"malloc keeps it, as an estimate says", 60, long, func(i int, m *memory.Moment) {
			m.Resident[memory.CFree], m.MallocEstimated = 50*mib, true
		}, Retention, Likely},
		{"malloc keeps what a busy program works with", 60, minute, func(i int, m *memory.Moment) {
			m.Resident[memory.CFree], m.CAlloc = 50*mib, 20*up(i)
		}, Retention, Possible},
		{"malloc keeps it between two bursts", 60, minute, func(i int, m *memory.Moment) { m.Resident[memory.CFree] = 50 * mib * uint64(i%4/2) }, Fine, Likely},
		{"malloc keeps less than is live", 60, minute, func(i int, m *memory.Moment) {
			live(m, 50*mib)
			m.Resident[memory.CFree] = 40 * mib
		}, Fine, Likely},
		{"a saw of Go's heap", 60, minute, func(i int, m *memory.Moment) { m.Resident[memory.GoDead] = up(i % 20) }, Fine, Likely},
		{"Go's heap", 60, long, func(i int, m *memory.Moment) { goLive(m, up(i)) }, GoHeap, Certain},
		{"Go's heap, never touched", 60, long, func(i int, m *memory.Moment) { m.GoMarked = up(i) }, Fine, Likely},
		{"Go's heap, never collected", 60, long, func(i int, m *memory.Moment) { m.GCCycles = 1; m.Resident[memory.GoDead] = up(i) }, GoHeap, Certain},
		{"Go's heap, collected ever more rarely", 64, long, func(i int, m *memory.Moment) {
			for m.GCCycles = 0; 1<<m.GCCycles <= i; m.GCCycles++ {
			}
			goLive(m, 2*mib<<m.GCCycles)
		}, GoHeap, Certain},
		{"Go's heap grew and is full", 60, minute, func(i int, m *memory.Moment) { goLive(m, up(min(i, 20))) }, Fine, Likely},
		{"goroutines, and what they hold", 60, long, func(i int, m *memory.Moment) { goLive(m, up(i)/2); m.Resident[memory.GoStacks] = up(i) }, GoStacks, Certain},
		{"threads", 60, long, func(i int, m *memory.Moment) { m.Resident[memory.ThreadStacks] = up(i) }, Threads, Certain},
		{"mmap", 60, long, func(i int, m *memory.Moment) { m.Resident[memory.Mapped] = up(i) }, Mapped, Certain},
		{"files", 60, long, func(i int, m *memory.Moment) { m.Resident[memory.Files] = up(i) }, Mapped, Certain},
		{"C memory that isn't seen", 60, long, func(i int, m *memory.Moment) { m.Resident[memory.CMore] = up(i) }, Unseen, Certain},
		{"cgoheap itself", 60, long, func(i int, m *memory.Moment) { m.Resident[memory.Own] = up(i) }, Own, Certain},
		{"two things grow alike", 60, long, func(i int, m *memory.Moment) { goLive(m, up(i)*9/10); m.Resident[memory.Mapped] = up(i) }, Mapped, Likely},
		{"it grows and falls on the way", 64, long, func(i int, m *memory.Moment) { live(m, up(i)+30*mib*uint64(i/16%2)) }, Leak, Possible},
	} {
		moments := story(test.n, test.apart, test.tell)
		v := Evaluate(moments, moments, Facts{})
		if v.Kind != test.want || v.Sure != test.sure {
			t.Errorf("%s: %s, %s: %s %q; want %s, %s", test.name, v.Kind, v.Sure, v.Sentence, v.Evidence, test.want, test.sure)
		}
		if v.Sentence == "" || v.Next == "" {
			t.Errorf("%s: says too little: %+v", test.name, v)
		}
	}
}

// A leak of 10 MiB a second is called that.
func TestRateOfALeak(t *testing.T) {
	moments := story(65, time.Second, func(i int, m *memory.Moment) { live(m, 10*mib*uint64(i)) })
	if v := Evaluate(moments, moments, Facts{}); !strings.Contains(v.Sentence, "grew by 560 MiB in 56 s (600 MiB a minute)") {
		t.Error(v.Sentence)
	}
}

// Ten minutes after a restart, as it is measured by default: a leak is likely, whatever the program took at its start, and a cache that
// fills up isn't.
func TestTenMinutesAfterARestart(t *testing.T) {
	start := func(second float64) float64 { return 150 * (1 - math.Exp(-second/30)) } // MiB: what every start takes
	for _, test := range []struct {
		name string
		tell func(second float64) (liveMiB, allocMiB float64)
		sure string
	}{
		{"100 MiB leak from the start", func(s float64) (float64, float64) { return s / 6, 5 * s }, Likely},
		{"100 MiB leak beside what a start takes", func(s float64) (float64, float64) { return start(s) + s/6, 5 * s }, Likely},
		{"50 MiB leak beside it", func(s float64) (float64, float64) { return start(s) + s/12, 5 * s }, Likely},
		{"it leaks while the load comes back", func(s float64) (float64, float64) {
			load := min(s/60, 1)
			return start(s) + load*s/6, 5 * load * s
		}, Likely},
		{"a cache fills up", func(s float64) (float64, float64) { return 250 * (1 - math.Exp(-s/250)), 5 * s }, Possible},
		{"a pool follows the load", func(s float64) (float64, float64) { return 50 + s/6, s + s*s/600 }, Possible},
	} {
		moments := story(301, 2*time.Second, func(i int, m *memory.Moment) {
			bytes, alloc := test.tell(float64(2 * i))
			live(m, uint64(bytes*mib))
			m.CAlloc, m.RSS = uint64(alloc*mib), 80*mib+uint64(bytes*mib)
		})
		v := Evaluate(moments, moments, Facts{})
		if v.Kind != Leak || v.Sure != test.sure {
			t.Errorf("%s: %s, %s: %s %q", test.name, v.Kind, v.Sure, v.Sentence, v.Evidence)
		}
		if some := moments[:241]; test.sure == Likely { // after eight minutes it is seen
			if v := Evaluate(some, some, Facts{}); v.Kind != Leak {
				t.Errorf("%s, after eight minutes: %s, %s: %s %q", test.name, v.Kind, v.Sure, v.Sentence, v.Evidence)
			}
		}
		early := moments[:60]
		if v := Evaluate(early, early, Facts{}); v.Kind == Leak && (v.Sure != Possible || !strings.Contains(strings.Join(v.Evidence, " "), "it was watched for")) {
			t.Errorf("%s, after two minutes: %s %q", test.name, v.Sure, v.Evidence)
		}
	}
}

// The life of the process shows growth, and the recent moments that it is over.
func TestGrowthThatHasStoppedLately(t *testing.T) {
	tell := func(i int, m *memory.Moment) { live(m, up(min(i, 350))) }
	life := story(400, 12*time.Second, tell) // 80 minutes, of which the last ten are flat
	recent := life[360:]
	if v := Evaluate(recent, life, Facts{}); v.Kind != Fine {
		t.Errorf("%s, %s: %s", v.Kind, v.Sure, v.Sentence)
	}
	life = story(400, 12*time.Second, func(i int, m *memory.Moment) { live(m, up(i)) })
	if v := Evaluate(life[360:], life, Facts{}); v.Kind != Leak || v.Sure == Possible {
		t.Errorf("%s, %s: %s", v.Kind, v.Sure, v.Sentence)
	}
}

// What comes and goes with the time of day was as high before.
func TestGrowthToWhatWasThereBefore(t *testing.T) {
	tide := func(i int, m *memory.Moment) {
		if i = i % 200; i > 100 {
			i = 200 - i
		}
		live(m, up(i))
	}
	life := story(480, time.Minute, tide)
	v := Evaluate(life[400:], life, Facts{})
	if v.Kind == Leak && v.Sure != Possible {
		t.Errorf("%s, %s: %s %q", v.Kind, v.Sure, v.Sentence, v.Evidence)
	}
}

func TestACollectionDecides(t *testing.T) {
	moments := story(60, time.Second, func(i int, m *memory.Moment) { live(m, up(i)); m.GCCycles = 0 })
	v := Evaluate(moments, moments, Facts{})
	if v.Kind != Finalizers || v.Sure != Possible || !v.WouldCollect {
		t.Errorf("before: %+v", v)
	}
	at := moments[50].Time
	v = Evaluate(moments, moments, Facts{Collection: &Collection{Time: at, Waiting: 50 * mib, Before: 50 * mib, After: 50 * mib, Fresh: true}})
	if v.Kind != Leak || v.WouldCollect || !strings.Contains(strings.Join(v.Evidence, " "), "this page ran the garbage collector 9.0 s ago, which freed 0 B") {
		t.Errorf("it freed nothing: %+v", v)
	}
	v = Evaluate(moments, moments, Facts{Collection: &Collection{Time: at, Waiting: 50 * mib, Before: 50 * mib, After: 2 * mib, Fresh: true}})
	if v.Kind != Finalizers || v.Sure != Certain || v.WouldCollect {
		t.Errorf("it freed all: %+v", v)
	}
}

// Where a finalizer never returns, nothing that waits for one is freed, whatever is collected: that is no leak of the C library's.
func TestFinalizersThatAreBlocked(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(i int, m *memory.Moment)
		want Kind
		says string
	}{
		{"a finalizer blocks", func(i int, m *memory.Moment) {
			live(m, up(i))
			m.Finalizers = memory.Queue{Queued: uint64(i), Run: uint64(min(i, 10))}
		}, Finalizers, "runFinalizers"},
		{"a cleanup blocks", func(i int, m *memory.Moment) {
			live(m, up(i))
			m.Cleanups = memory.Queue{Queued: uint64(i), Run: uint64(min(i, 10))}
		}, Finalizers, "runCleanups"},
		{"what is of Go hangs on them", func(i int, m *memory.Moment) {
			goLive(m, up(i))
			m.Finalizers = memory.Queue{Queued: uint64(i), Run: uint64(min(i, 10))}
		}, Finalizers, "runFinalizers"},
		{"they are slow", func(i int, m *memory.Moment) {
			live(m, up(i))
			m.Finalizers = memory.Queue{Queued: 100 * uint64(i), Run: uint64(i)}
		}, Leak, ""},
		{"all have run long ago", func(i int, m *memory.Moment) {
			live(m, up(i))
			m.Finalizers = memory.Queue{Queued: 10, Run: 10}
		}, Leak, ""},
		{"some have become due just now", func(i int, m *memory.Moment) {
			live(m, up(i))
			m.Finalizers = memory.Queue{Queued: 10 + uint64(i/59), Run: 10}
		}, Leak, ""},
	} {
		short := story(90, time.Second, test.tell) // at the end none has run for 80 seconds, a minute and more
		if v := Evaluate(short, short, Facts{}); test.want == Finalizers && (v.Kind != Finalizers || v.Sure != Likely) {
			t.Errorf("%s, after 90 s: %s, %s: %s", test.name, v.Kind, v.Sure, v.Sentence)
		}
		moments := story(60, 10*time.Second, test.tell)
		v := Evaluate(moments, moments, Facts{Collection: &Collection{Time: moments[50].Time, Waiting: 50 * mib, Before: 50 * mib, After: 50 * mib}})
		if v.Kind != test.want || v.Sure != Likely || !strings.Contains(v.Next, test.says) {
			t.Errorf("%s: %s, %s: %s %q %s", test.name, v.Kind, v.Sure, v.Sentence, v.Evidence, v.Next)
		}
		if all := v.Sentence + strings.Join(v.Evidence, " "); test.want == Finalizers && (!strings.Contains(all, "blocked") || strings.Contains(all, "does not wait")) {
			t.Errorf("%s: %s", test.name, all)
		}
	}
}

// Trim is not advised where it doesn't reach, nor twice in vain.
func TestTrimIsAdvisedWhereItHelps(t *testing.T) {
	moments := func(tops uint64) []memory.Moment {
		return story(60, time.Second, func(i int, m *memory.Moment) {
			m.Resident[memory.CFree], m.CTops, m.ArenaCount = 60*mib, tops, 6
		})
	}
	trim := func(before, after uint64) Facts {
		return Facts{Trims: []Trim{{Time: moments(0)[30].Time, FreeBefore: before, FreeAfter: after}}}
	}
	for _, test := range []struct {
		name    string
		tops    uint64
		facts   Facts
		advised bool
		says    string
	}{
		{"never pressed", 0, Facts{}, true, "Press trim below"},
		{"pressed in vain", 0, trim(62*mib, 60*mib), false, "between live blocks"},
		{"it gave much, and much is left", 0, trim(130*mib, 62*mib), false, "between live blocks"},
		{"it came back", 0, trim(60*mib, 1*mib), false, "It came back after a trim"},
		{"ends of thread arenas", 55 * mib, Facts{}, false, "MALLOC_TRIM_THRESHOLD_=131072"},
		{"ends of thread arenas, pressed", 55 * mib, trim(62*mib, 60*mib), false, "MALLOC_ARENA_MAX"},
	} {
		m := moments(test.tops)
		v := Evaluate(m, m, test.facts)
		if v.Kind != Retention || strings.Contains(v.Next, "Press trim") != test.advised || !strings.Contains(v.Next, test.says) {
			t.Errorf("%s: %s: %s", test.name, v.Kind, v.Next)
		}
	}
}
