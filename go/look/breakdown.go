package look

import (
	"cmp"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// part is one line of the breakdown. The parts add up to RSS.
type part int

const (
	goLive part = iota
	goDead
	goIdle
	goStacks
	goRuntime
	cLive
	cMmapped
	cMore
	cFree
	threadStacks
	mapped
	files
	code
	own
	unexplained
	nParts
)

// partInfo describes a part: for the page, for metrics, and where the number comes from.
var partInfo = [nParts]struct{ key, title, source string }{
	goLive:       {"go_live", "Go heap, live at the last GC", "runtime/metrics: /gc/heap/live"},
	goDead:       {"go_dead", "Go heap, allocated since or dead", "runtime/metrics: heap/objects - live"},
	goIdle:       {"go_idle", "Go heap, idle but kept", "runtime/metrics: heap/free + heap/unused, as far as resident"},
	goStacks:     {"go_stacks", "Go stacks", "runtime/metrics: heap/stacks"},
	goRuntime:    {"go_runtime", "Go runtime and its profiles", "runtime/metrics: metadata, profiling, other"},
	cLive:        {"c_live", "C live, in malloc's arenas", "cgoheap: estimate of what was asked for, less the next line, as far as resident"},
	cMmapped:     {"c_mmapped", "C live, large blocks (mmapped chunks)", "mallinfo2: hblkhd, as far as resident"},
	cMore:        {"c_more", "C allocator: rounding, and what cgoheap doesn't see", "mallinfo2: in use, less C live"},
	cFree:        {"c_free", "C freed, kept by malloc", "mallinfo2: fordblks, as far as resident"},
	threadStacks: {"thread_stacks", "Thread stacks", "/proc/self/smaps: behind a guard page, [stack]"},
	mapped:       {"mapped", "Anonymous mappings of others (mmap)", "/proc/self/smaps: 256 KiB or more that nobody above owns"},
	files:        {"files", "Mapped files and shared memory", "/proc/self/smaps"},
	code:         {"code", "Program and libraries", "/proc/self/smaps: files with code, their variables"},
	own:          {"own", "cgoheap's own tables", "cgoheap, /proc/self/smaps"},
	unexplained:  {"unexplained", "Unexplained", "RSS less all of the above"},
}

// moment is what was measured at one time; it is of fixed size, and the history consists of it.
type moment struct {
	time     time.Time
	rss      uint64
	resident [nParts]uint64

	cLiveBytes, cMargin    uint64 // estimate, resident or not
	cAllocBytes            uint64 // since the start
	mallocUsed, mallocFree uint64 // by glibc, resident or not, mmapped chunks included
	mallocMmapped          uint64
	mallocChunks           uint64 // of mallocMmapped
	goMarked               uint64 // live at the last GC
	goObjects              uint64
	goroutines             uint64
	threads                uint64
	gcCycles               uint64
	lastGC                 time.Time // zero: none yet
}

// inUse is what C holds as malloc says: cgoheap sees it all with go/interpose, and a part of it else.
func (m *moment) inUse() uint64 { return m.mallocUsed }

var metricNames = []string{
	"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes",
	"/memory/classes/heap/stacks:bytes", "/memory/classes/metadata/mcache/free:bytes",
	"/memory/classes/metadata/mcache/inuse:bytes", "/memory/classes/metadata/mspan/free:bytes",
	"/memory/classes/metadata/mspan/inuse:bytes", "/memory/classes/metadata/other:bytes",
	"/memory/classes/profiling/buckets:bytes", "/memory/classes/other:bytes", "/gc/heap/live:bytes",
	"/gc/cycles/total:gc-cycles", "/sched/goroutines:goroutines", "/sched/threads/total:threads",
}

func readMetrics() func(name string) uint64 {
	samples := make([]metrics.Sample, len(metricNames))
	for i, name := range metricNames {
		samples[i].Name = name
	}
	metrics.Read(samples)
	return func(name string) uint64 {
		for i := range samples {
			if samples[i].Name == name && samples[i].Value.Kind() == metrics.KindUint64 {
				return samples[i].Value.Uint64()
			}
		}
		return 0
	}
}

// largeMapping: smaller pieces of memory that nobody owns are no evidence of anything.
const largeMapping = 256 << 10

const pageSize = 4096

// reading is what measure reads with; one at a time.
var reading struct {
	sync.Mutex
	reader
}

// measure takes a moment. large are the largest mappings in the part "mapped".
func measure() (m moment, large []piece, err error) {
	m.time = time.Now()
	var stats cgoheap.Stats
	cgoheap.ReadStats(&stats)
	malloc := capi.ReadMalloc()
	goMemory := readMetrics()
	reading.Lock()
	defer reading.Unlock()
	o, err := reading.readOwners(malloc.Mmapped)
	if err != nil {
		return m, nil, err
	}
	m.rss = o.rss
	m.cLiveBytes, m.cMargin, m.cAllocBytes = stats.LiveBytes, stats.LiveBytesMargin, stats.AllocBytes
	m.mallocUsed, m.mallocFree, m.mallocMmapped = malloc.Used+malloc.Mmapped, malloc.Free, malloc.Mmapped
	m.mallocChunks = malloc.MmappedChunks
	m.goMarked = goMemory("/gc/heap/live:bytes")
	m.gcCycles = goMemory("/gc/cycles/total:gc-cycles")
	m.goroutines = goMemory("/sched/goroutines:goroutines")
	m.threads = goMemory("/sched/threads/total:threads")
	if m.gcCycles > 0 {
		m.lastGC = lastGC()
	}
	large = m.divide(o, malloc, goMemory, &stats)
	return m, large, nil
}

func lastGC() time.Time {
	var stats debug.GCStats
	debug.ReadGCStats(&stats) // it doesn't stop the world
	return stats.LastGC
}

// divide fills m.resident.
//
// The mappings say how much is resident and whose it is; malloc and the Go runtime say what they use theirs for, resident or
// not. Where they account for more than is resident, pages have never been touched or were given back. The kernel doesn't
// say which: what is free is taken to be missing first, then what is idle, and what is live last.
func (m *moment) divide(o *owners, malloc capi.Malloc, goMemory func(string) uint64, stats *cgoheap.Stats) (large []piece) {
	r := &m.resident
	r[threadStacks], r[files], r[code], r[own] = o.threads, o.files, o.code, o.own

	// Go's heap.
	objects := goMemory("/memory/classes/heap/objects:bytes")
	m.goObjects = objects
	marked := min(m.goMarked, objects)
	left := o.goHeap
	take := func(p part, bytes uint64) {
		bytes = min(bytes, left)
		r[p] += bytes
		left -= bytes
	}
	take(goStacks, goMemory("/memory/classes/heap/stacks:bytes"))
	take(goLive, marked)
	take(goDead, objects-marked)
	take(goIdle, goMemory("/memory/classes/heap/unused:bytes")+goMemory("/memory/classes/heap/free:bytes"))
	rest := left

	// What nobody owns: the runtime's own bookkeeping is in there, in small pieces.
	slices.SortFunc(o.nobody, func(a, b piece) int { return cmp.Compare(a.rss, b.rss) })
	metadata := uint64(0)
	for _, name := range metricNames[4:11] {
		metadata += goMemory(name)
	}
	// Blocks of malloc that were not recognised by their header.
	missing := uint64(0)
	if malloc.Mmapped > o.mmappedFound {
		missing = malloc.Mmapped - o.mmappedFound
	}
	elsewhere := uint64(0) // of another allocator
	if stats.Interpose == cgoheap.InterposeAside || stats.Interpose == cgoheap.InterposePartly {
		elsewhere = stats.LiveBytes
	}
	mmapped, others := o.mmapped, uint64(0)
	for _, p := range o.nobody {
		n := p.rss
		t := min(n, metadata)
		r[goRuntime] += t
		metadata -= t
		n -= t
		if p.rss >= 128<<10 {
			t = min(n, missing)
			mmapped += t
			missing -= t
			n -= t
			t = min(n, elsewhere)
			others += t
			elsewhere -= t
			n -= t
		}
		if n >= largeMapping {
			r[mapped] += n
			large = append(large, piece{p.start, p.end, n})
			continue
		}
		rest += n
	}
	slices.Reverse(large)

	// malloc.
	arenas := min(o.arenas, malloc.Arenas+pageSize*64) // headers of heaps and arenas are not in its books
	rest += o.arenas - arenas
	notResident := uint64(0)
	if malloc.Arenas > arenas {
		notResident = malloc.Arenas - arenas
	}
	free := uint64(0)
	if malloc.Free > notResident {
		free = min(malloc.Free-notResident, arenas)
	}
	used := arenas - free + others
	r[cFree] = free
	r[cMmapped] = mmapped
	// Every block that malloc maps apart is in use. Where cgoheap sees them all, they are part of its estimate.
	live := stats.LiveBytes
	if stats.Interpose == cgoheap.InterposeWhole {
		live -= min(live, malloc.Mmapped)
	}
	r[cLive] = min(live, used)
	r[cMore] = used - r[cLive]
	r[unexplained] = rest
	return large
}
