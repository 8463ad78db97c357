package memory

import "time"

// Malloc is what glibc's malloc says of itself, in bytes, over all its arenas, resident or not.
type Malloc struct {
	Arenas        uint64 // taken from the system, for what is not mapped apart
	Used, Free    uint64 // of Arenas: handed out, and free to be handed out
	Mmapped       uint64 // large blocks, each a mapping of its own
	MmappedChunks uint64 // their number
	// Old: the answer is of an earlier time, see [Pause].
	Old bool
	// Estimated: glibc was not asked. [Moment.Divide] fills in the rest from what is resident and cgoheap's own counters.
	Estimated bool
	// Unknown: the C library can't tell. Where cgoheap sees all of malloc, what is said is Estimated, else nothing is known.
	Unknown bool
}

// mallinfo2 walks over all free blocks of an arena with its lock held, and whoever allocates from it waits: 4 million free
// blocks take 90 ms. So it is asked only while an answer is expected to take less than maxPause, and after an answer that took
// t not before pauseFactor * t: no more than 1 part in 1,000 of the time.
const (
	maxPause    = 5 * time.Millisecond
	pauseFactor = 1000
	// blockPause is what one free block takes.
	blockPause = 20 * time.Nanosecond
	// leastShare bounds what is learnt from the last answer: free blocks may have fallen apart since.
	leastShare = 0.2
)

// Pause decides when glibc is asked. The zero value has never asked; last.Unknown says that there is no use in asking.
type Pause struct {
	last    Malloc
	asked   time.Time
	took    time.Duration
	share   float64 // of the time expected, that the last answer took
	force   bool    // ask at the next opportunity
	Longest time.Duration
	Asked   int // times
}

// Expect says how long an answer is expected to take at most: as if all that is resident in the arenas and not in use were free
// blocks of the size that the live ones have, times what the last answer took of that.
func (p *Pause) Expect(arenas uint64, hooks Hooks) time.Duration {
	return time.Duration(p.learnt() * float64(expectedBlocks(arenas, hooks)) * float64(blockPause))
}

func (p *Pause) learnt() float64 {
	if p.share == 0 {
		return 1
	}
	return p.share
}

func expectedBlocks(arenas uint64, hooks Hooks) uint64 {
	size := uint64(64)
	if hooks.LiveObjects > 0 {
		size = max(hooks.Live/hooks.LiveObjects+blockOverhead, 32)
	}
	return (arenas - min(arenas, hooks.Live)) / size
}

// Next returns what is to be taken for glibc's answer now; it calls ask if this is the time to. arenas is how much was
// resident in malloc's arenas last. Where cgoheap doesn't see all of malloc, only glibc knows what is free, and it is asked
// at least that rarely.
func (p *Pause) Next(now time.Time, arenas uint64, hooks Hooks, ask func() Malloc) Malloc {
	if p.last.Unknown { // so there is no use in asking
		return Malloc{Unknown: true, Estimated: hooks.Whole}
	}
	long := p.Expect(arenas, hooks) > maxPause
	if p.force {
		p.force = false
	} else if hooks.Whole && long {
		return Malloc{Estimated: true}
	} else if p.Asked > 0 && now.Sub(p.asked) < pauseFactor*p.took {
		if hooks.Whole && p.took > maxPause {
			return Malloc{Estimated: true}
		}
		old := p.last
		old.Old = true
		return old
	}
	blocks := expectedBlocks(arenas, hooks)
	began := time.Now()
	p.last = ask()
	p.took = time.Since(began)
	p.asked = now
	p.Asked++
	p.Longest = max(p.Longest, p.took)
	if expected := time.Duration(blocks) * blockPause; expected > 100*time.Microsecond {
		p.share = min(max(float64(p.took)/float64(expected), leastShare), 4)
	}
	return p.last
}
