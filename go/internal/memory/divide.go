package memory

import (
	"cmp"
	"slices"
)

// A block of glibc's in use costs so much beside what was asked for, a header and the rounding to 16 bytes; and leastBlock at
// least.
const (
	blockOverhead = 8 + 8
	leastBlock    = 32
)

// overhead is what the blocks in use cost beside what was asked for.
func (h *Hooks) overhead() uint64 {
	if h.LiveObjects == 0 {
		return 0
	}
	each := h.Live / h.LiveObjects
	return h.LiveObjects * max(blockOverhead, leastBlock-min(each, leastBlock))
}

// largeBlock: glibc doesn't map smaller blocks apart, unless it is told to.
const largeBlock = 128 << 10

// Divide fills in the parts, and what of C is where. It may reorder o.Nobody, and takes from its pieces what turns out to be
// somebody's: what is left of them is the part Mapped.
//
// The mappings say how much is resident and whose it is; malloc and the Go runtime say what they use theirs for, resident or
// not. Where they account for more than is resident, pages have never been touched or were given back. The kernel doesn't
// say which: what is free is taken to be missing first, then what is idle, and what is live last. Where they account for
// less, they were asked before it came: it is theirs all the same.
func (m *Moment) Divide(o *Owners, malloc Malloc, run Runtime, hooks Hooks) {
	r := &m.Resident
	*r = [NParts]uint64{}
	m.RSS = o.RSS
	m.CLive, m.CMargin, m.CAlloc = hooks.Live, hooks.Margin, hooks.Alloc
	m.Finalizers, m.Cleanups = run.Finalizers, run.Cleanups
	m.GoMarked, m.GoObjects, m.Goroutines, m.Threads, m.GCCycles = run.Marked, run.Objects, run.Goroutines, run.Threads, run.Cycles
	r[ThreadStacks], r[Code], r[Own] = o.Threads, o.Code, o.Own
	for i := range o.Files {
		r[Files] += o.Files[i].RSS
	}
	m.divideGo(o, run)

	// What nobody owns. The runtime's own bookkeeping is in there, in small pieces, where the kernel keeps no names.
	slices.SortFunc(o.Nobody, func(a, b Piece) int { return cmp.Or(cmp.Compare(a.RSS, b.RSS), cmp.Compare(a.Start, b.Start)) })
	if o.GoRuntime == 0 {
		r[GoRuntime] += take(o.Nobody, run.Metadata, 0)
	} else {
		r[GoRuntime] += o.GoRuntime
	}
	slices.Reverse(o.Nobody)
	if malloc.Old || malloc.Estimated {
		malloc.Mmapped = o.MmappedSize
	}
	// Blocks of malloc that were not recognised by their header.
	r[CMmapped] += take(o.Nobody, malloc.Mmapped-min(malloc.Mmapped, o.MmappedSize), largeBlock)
	m.divideMalloc(o, malloc, hooks)
	for i := range o.Nobody {
		r[Mapped] += o.Nobody[i].RSS
	}
	o.Nobody = slices.DeleteFunc(o.Nobody, func(p Piece) bool { return p.RSS == 0 })
	sum := uint64(0)
	for _, bytes := range r {
		sum += bytes
	}
	r[Unexplained] = o.RSS - min(sum, o.RSS)
}

func (m *Moment) divideGo(o *Owners, run Runtime) {
	r := &m.Resident
	left := o.GoHeap
	give := func(p Part, bytes uint64) {
		bytes = min(bytes, left)
		r[p] += bytes
		left -= bytes
	}
	marked := min(run.Marked, run.Objects)
	give(GoStacks, run.Stacks)
	give(GoLive, marked)
	give(GoDead, run.Objects-marked)
	give(GoIdle, run.Unused+run.Free)
	// It came after the runtime was asked, or it was released and the kernel has not taken it yet.
	give(GoDead, run.Released+goSlack)
	r[Unexplained] += left // in the place of Go's heap, but not Go's
}

// goSlack is how much Go's heap may have grown between two questions.
const goSlack = 64 << 20

// elsewhereSlack: the two sides are not asked at the same moment.
const elsewhereSlack = 1 << 20

func (m *Moment) divideMalloc(o *Owners, malloc Malloc, hooks Hooks) {
	r := &m.Resident
	if malloc.Unknown && !malloc.Estimated { // all of it may be in use
		malloc.Arenas, malloc.Used = o.Arenas, o.Arenas
	}
	if malloc.Estimated {
		malloc.Arenas = o.Arenas
		inArenas := hooks.Live - min(hooks.Live, malloc.Mmapped)
		malloc.Used = min(inArenas+hooks.overhead(), malloc.Arenas)
		malloc.Free = malloc.Arenas - malloc.Used
	}
	m.MallocUsed, m.MallocFree, m.MallocMmapped = malloc.Used+malloc.Mmapped, malloc.Free, malloc.Mmapped
	m.MallocChunks, m.MallocEstimated, m.MallocUnknown = malloc.MmappedChunks, malloc.Estimated, malloc.Unknown
	r[CMmapped] += o.Mmapped

	// C memory that is live and not in glibc's counts is another allocator's: its mappings are nobody's so far.
	counted := malloc.Used
	if malloc.Old {
		counted = max(malloc.Arenas, o.Arenas)
	}
	elsewhere := uint64(0)
	if counted += malloc.Mmapped; hooks.Live > counted+hooks.Margin+elsewhereSlack && !malloc.Estimated && !malloc.Unknown {
		elsewhere = hooks.Live - counted
	}
	m.CElsewhere = elsewhere
	m.COverhead = hooks.overhead()
	others := take(o.Nobody, elsewhere, 0)

	// What glibc accounts for beyond what is resident is taken to be free.
	notResident := malloc.Arenas - min(malloc.Arenas, o.Arenas)
	free := min(malloc.Free-min(malloc.Free, notResident), o.Arenas)
	used := o.Arenas - free + others
	r[CFree] = free
	m.CTops, m.ArenaCount = min(o.Tops, free), uint64(o.ArenaCount)
	// Every block that malloc maps apart is in use. Where cgoheap sees them all, they are part of its estimate.
	live := hooks.Live
	if hooks.Whole {
		live -= min(live, malloc.Mmapped)
	}
	r[CLive] = min(live, used)
	r[CMore] = used - r[CLive]
}

// take takes bytes from the pieces in their order, from those of at least so many resident bytes, and returns how much there
// was.
func take(pieces []Piece, bytes, least uint64) (taken uint64) {
	for i := range pieces {
		if taken == bytes {
			break
		}
		if p := &pieces[i]; p.RSS >= least {
			n := min(p.RSS, bytes-taken)
			p.RSS -= n
			taken += n
		}
	}
	return taken
}
