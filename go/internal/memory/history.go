package memory

import (
	"sync"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

const (
	// recentMoments are kept one after the other.
	recentMoments = 600
	// lifeMoments cover the life of the process: when they are full every other one is dropped, and from then on half as
	// many are kept.
	lifeMoments = 400
	// baselines are the moments that growth of single stacks can be asked since; they thin out as lifeMoments do.
	baselines = 64
	// baselineStacks is how many stacks each of them knows: those with most bytes in use.
	baselineStacks = 256
	// baselineGroups is how many groups of mappings each of them knows: the largest.
	baselineGroups = 32

	// defaultInterval is the time between two moments, unless taking one costs too much.
	defaultInterval = 2 * time.Second
	// costFactor: at least this many times the time that a moment took passes before the next: 1 % of one processor. Whoever
	// asks for a shorter interval than the default gets it in proportion.
	costFactor    = 100
	minCostFactor = 4
)

// History is what the process remembers of itself: recentMoments + lifeMoments of some 400 bytes each, and baselines of
// 4 KiB each, however long it runs. All methods may be called from any goroutine.
type History struct {
	mu        sync.Mutex // protects all below
	interval  time.Duration
	recent    ring[Moment]
	life      thinning[Moment]
	baselines thinning[Baseline]
	err       error // of the last try to take a moment
}

// Baseline is what each of the largest stacks had in use at one moment, and each of the largest groups of mappings.
type Baseline struct {
	Time   time.Time
	stacks [baselineStacks]struct {
		id    uint32
		bytes int64
	}
	n int
	// floor: a stack that is not in the list had at most this much.
	floor  int64
	mapped [baselineGroups]struct{ key, rss uint64 }
	groups int
}

// NewHistory returns one that has nothing in it.
func NewHistory() *History {
	return &History{
		interval:  defaultInterval,
		recent:    ring[Moment]{room: make([]Moment, 0, recentMoments)},
		life:      thinning[Moment]{room: make([]Moment, 0, lifeMoments), every: 1},
		baselines: thinning[Baseline]{room: make([]Baseline, 0, baselines), every: 1},
	}
}

// SetInterval sets the least time between two moments; at least 10 ms.
func (h *History) SetInterval(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interval = max(d, 10*time.Millisecond)
}

// Pause returns how long to wait before the next moment when one took so long.
func (h *History) Pause(took time.Duration) time.Duration {
	h.mu.Lock()
	interval := h.interval
	h.mu.Unlock()
	factor := min(max(time.Duration(costFactor*float64(interval)/float64(defaultInterval)), minCostFactor), costFactor)
	return max(interval, factor*took)
}

// Take takes a moment and keeps it.
func (h *History) Take() {
	m, err := Measure()
	largest := capi.LargestStacks(capi.Filter{}, baselineStacks)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err = err; err != nil {
		return
	}
	h.recent.add(m.Moment)
	h.life.add(m.Moment)
	b := h.baselines.next()
	if b == nil {
		return
	}
	*b = Baseline{Time: m.Time, n: len(largest), groups: min(len(m.Mapped), baselineGroups)}
	for i, s := range largest {
		b.stacks[i].id, b.stacks[i].bytes = s.ID, s.InuseBytes
	}
	if len(largest) == baselineStacks {
		b.floor = largest[baselineStacks-1].InuseBytes
	}
	for i := range b.groups {
		b.mapped[i].key, b.mapped[i].rss = m.Mapped[i].Key(), m.Mapped[i].RSS
	}
}

// Moments returns copies, oldest first.
func (h *History) Moments() (recent, life []Moment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.recent.all(), append([]Moment(nil), h.life.room...)
}

// Since returns the baseline nearest to t, and whether there is one.
func (h *History) Since(t time.Time) (found Baseline, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.baselines.room {
		b := &h.baselines.room[i]
		if !ok || b.Time.Sub(t).Abs() < found.Time.Sub(t).Abs() {
			found, ok = *b, true
		}
	}
	return found, ok
}

// Starts returns the times that [History.Since] knows, oldest first.
func (h *History) Starts() (times []time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.baselines.room {
		times = append(times, h.baselines.room[i].Time)
	}
	return times
}

// Bytes returns what a stack had in use, and whether that is known; if not, it is what it may have had at most.
func (b *Baseline) Bytes(id uint32) (bytes int64, known bool) {
	for _, s := range b.stacks[:b.n] {
		if s.id == id {
			return s.bytes, true
		}
	}
	return b.floor, b.floor == 0
}

// GroupRSS returns what a group of mappings had resident; 0 for one that was not among the largest.
func (b *Baseline) GroupRSS(g *Group) uint64 {
	key := g.Key()
	for _, old := range b.mapped[:b.groups] {
		if old.key == key {
			return old.rss
		}
	}
	return 0
}

// ring keeps the newest that its room holds.
type ring[T any] struct {
	room []T
	next int // where the next goes once the room is full
}

func (r *ring[T]) add(v T) {
	if len(r.room) < cap(r.room) {
		r.room = append(r.room, v)
		return
	}
	r.room[r.next] = v
	r.next = (r.next + 1) % len(r.room)
}

// all returns copies, oldest first.
func (r *ring[T]) all() []T {
	return append(append([]T(nil), r.room[r.next:]...), r.room[:r.next]...)
}

// thinning keeps the first and every so-manieth of the rest: whenever the room is full, every other one goes and the
// distance doubles.
type thinning[T any] struct {
	room  []T
	every int // of those that come, one is kept
	skip  int // to come before the next is kept
}

// next returns the place for the one that comes, or nil when it isn't kept.
func (t *thinning[T]) next() *T {
	if t.skip > 0 {
		t.skip--
		return nil
	}
	if len(t.room) == cap(t.room) {
		for i := 0; 2*i < len(t.room); i++ {
			t.room[i] = t.room[2*i]
		}
		t.room = t.room[:(len(t.room)+1)/2]
		t.every *= 2
	}
	t.skip = t.every - 1
	t.room = t.room[:len(t.room)+1]
	return &t.room[len(t.room)-1]
}

func (t *thinning[T]) add(v T) {
	if place := t.next(); place != nil {
		*place = v
	}
}
