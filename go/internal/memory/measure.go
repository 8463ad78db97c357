package memory

import (
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// Measurement is one look at the process.
type Measurement struct {
	Moment
	Mapped []Group // what the parts Mapped and Files consist of, largest first
	Stats  cgoheap.Stats
}

// process is what measuring keeps from one time to the next.
var process struct {
	sync.Mutex // held while a measurement is made: one at a time
	reader     reader
	pause      Pause
	arenas     uint64 // resident at the last measurement, without the free ends of arenas, which are one block each
	measured   bool
}

// Measure measures the process. Any goroutine may call it.
func Measure() (*Measurement, error) {
	m := &Measurement{}
	process.Lock()
	defer process.Unlock()
	m.Time = time.Now()
	cgoheap.ReadStats(&m.Stats)
	hooks := hooksOf(&m.Stats)
	run := readRuntime()
	if !process.measured { // nothing says yet how much malloc has
		o, err := process.reader.owners(0)
		if err != nil {
			return nil, err
		}
		process.arenas, process.measured = o.Arenas-o.Tops, true
		process.pause.last.Unknown = !capi.MallocTells()
	}
	malloc := process.pause.Next(m.Time, process.arenas, hooks, askMalloc)
	find := malloc.Mmapped
	if malloc.Estimated || malloc.Old || malloc.Unknown {
		find = max(malloc.Mmapped, hooks.Live+hooks.Margin)
	}
	o, err := process.reader.owners(find)
	if err != nil {
		return nil, err
	}
	process.arenas = o.Arenas - o.Tops
	m.Divide(o, malloc, run, hooks)
	m.Mapped = Groups(slices.Concat(o.Nobody, o.Files))
	if m.GCCycles > 0 {
		var stats debug.GCStats
		debug.ReadGCStats(&stats) // it doesn't stop the world
		m.LastGC = stats.LastGC
	}
	return m, nil
}

// ReadMalloc returns what glibc's malloc last said of itself, or, where it was not asked, what is known without it. Nothing is
// known where the C library can't tell.
func ReadMalloc() (used, free, mmapped uint64, known bool) {
	process.Lock()
	defer process.Unlock()
	if !process.measured {
		return 0, 0, 0, true
	}
	m := process.pause.last
	return m.Used + m.Mmapped, m.Free, m.Mmapped, !m.Unknown
}

// Objects returns the paths of the program and the libraries that it had loaded at the last measurement, in order.
func Objects() []string {
	process.Lock()
	defer process.Unlock()
	return process.reader.objects()
}

// AskMallocNext has the next measurement ask glibc, whatever it may take: after a trim only glibc knows what is free.
func AskMallocNext() {
	process.Lock()
	defer process.Unlock()
	process.pause.force = true
}

// LongestPause is the longest time that an answer of glibc's took so far: whoever allocated meanwhile may have waited as long.
func LongestPause() time.Duration {
	process.Lock()
	defer process.Unlock()
	return process.pause.Longest
}

func askMalloc() Malloc {
	m := capi.ReadMalloc()
	return Malloc{Arenas: m.Arenas, Used: m.Used, Free: m.Free, Mmapped: m.Mmapped, MmappedChunks: m.MmappedChunks}
}

func hooksOf(s *cgoheap.Stats) Hooks {
	return Hooks{Live: s.LiveBytes, Margin: s.LiveBytesMargin, Alloc: s.AllocBytes, LiveObjects: s.LiveObjects,
		AllocObjects: s.AllocObjects, Whole: s.Interpose == cgoheap.InterposeWhole && s.Rate > 0}
}

var runtimeNames = []string{
	"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes",
	"/memory/classes/heap/released:bytes", "/memory/classes/heap/stacks:bytes", "/gc/heap/live:bytes",
	"/sched/goroutines:goroutines", "/sched/threads/total:threads", "/gc/cycles/total:gc-cycles",
	"/gc/finalizers/queued:finalizers", "/gc/finalizers/executed:finalizers", "/gc/cleanups/queued:cleanups", "/gc/cleanups/executed:cleanups",
	// From here on what is not the heap's.
	"/memory/classes/metadata/mcache/free:bytes", "/memory/classes/metadata/mcache/inuse:bytes",
	"/memory/classes/metadata/mspan/free:bytes", "/memory/classes/metadata/mspan/inuse:bytes",
	"/memory/classes/metadata/other:bytes", "/memory/classes/profiling/buckets:bytes", "/memory/classes/other:bytes",
}

const runtimeMetadata = 13 // index into runtimeNames

func readRuntime() Runtime {
	samples := make([]metrics.Sample, len(runtimeNames))
	for i, name := range runtimeNames {
		samples[i].Name = name
	}
	metrics.Read(samples)
	value := func(i int) uint64 {
		if samples[i].Value.Kind() != metrics.KindUint64 { // a version of Go that has no such metric
			return 0
		}
		return samples[i].Value.Uint64()
	}
	r := Runtime{Objects: value(0), Unused: value(1), Free: value(2), Released: value(3), Stacks: value(4), Marked: value(5),
		Goroutines: value(6), Threads: value(7), Cycles: value(8), Finalizers: Queue{value(9), value(10)}, Cleanups: Queue{value(11), value(12)}}
	for i := runtimeMetadata; i < len(samples); i++ {
		r.Metadata += value(i)
	}
	return r
}
