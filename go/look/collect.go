package look

import (
	"context"
	"sync/atomic"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/garbage"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

const (
	// cheapHeap: with a Go heap and stacks up to this size, a collection takes some milliseconds of a processor.
	cheapHeap = 32 << 20
	// betweenCollections is the least time between two collections that the page makes by itself.
	betweenCollections = 5 * time.Minute
	// collectionTimeout bounds the wait for finalizers.
	collectionTimeout = time.Second
	// maxTrims is how many trims are remembered.
	maxTrims = 8
)

var noCollection atomic.Bool

// SetAutoGC says whether the page may run the garbage collector by itself, which it may unless this is called with false. It does
// so when C memory may be waiting for finalizers, as only a collection can tell; when Go's heap is no larger than 32 MiB, so that
// it takes some milliseconds; and at most once in five minutes. It may be called at any time, from any goroutine.
func SetAutoGC(on bool) { noCollection.Store(!on) }

// collect runs the garbage collector when that is cheap, and remembers what it freed; it returns false when it did not.
func collect(now *memory.Measurement) bool {
	a := &server.actions
	if noCollection.Load() || !collectable(now.GoObjects, now.Resident[memory.GoStacks]) || !a.busy.TryLock() {
		return false
	}
	defer a.busy.Unlock()
	a.mu.Lock()
	last := a.collection
	a.mu.Unlock()
	if last != nil && now.Time.Sub(last.Time) < betweenCollections {
		return false
	}
	// A moment from right before, so that the history shows what the collection freed.
	server.history.Take()
	ctx, cancel := context.WithTimeout(context.Background(), collectionTimeout)
	defer cancel()
	garbage.Collect(ctx)
	var after cgoheap.Stats
	cgoheap.ReadStats(&after)
	waiting := now.CLive
	recent, _ := server.history.Moments()
	for i := range recent {
		if recent[i].GCCycles == now.GCCycles { // the first since the collection before
			waiting -= min(waiting, recent[i].CLive)
			break
		}
	}
	a.mu.Lock()
	a.collection = &verdict.Collection{Time: time.Now(), Waiting: waiting, Before: now.CLive, After: after.LiveBytes, Fresh: true}
	a.mu.Unlock()
	server.history.Take()
	return true
}

// facts is what was done from this page, for the verdict. A collection is fresh for the one who caused it.
func (a *actions) facts(s *cgoheap.Stats) verdict.Facts {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.knownLocked(s)
	if a.collection != nil {
		a.collection.Fresh = false
	}
	return f
}

// known is the same, for one who only looks: the collection stays fresh for the one who caused it.
func (a *actions) known(s *cgoheap.Stats) verdict.Facts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.knownLocked(s)
}

func (a *actions) knownLocked(s *cgoheap.Stats) verdict.Facts {
	f := verdict.Facts{Trims: append([]verdict.Trim(nil), a.trims...), Whole: s.Interpose == cgoheap.InterposeWhole, Off: s.Rate == 0}
	if a.collection != nil {
		c := *a.collection
		f.Collection = &c
	}
	return f
}

// trimmed remembers what a trim gave.
func (a *actions) trimmed(t verdict.Trim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.trims = append(a.trims, t); len(a.trims) > maxTrims {
		a.trims = a.trims[1:]
	}
}
