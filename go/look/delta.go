package look

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

const (
	// maxConsumers is how many scrapers are kept apart.
	maxConsumers = 8
	// maxID is the length that a consumer's name may have.
	maxID = 64
	// deltaSamples: Pyroscope takes 16,000 samples in a profile, unless it is told otherwise. The largest are kept, the rest
	// is one.
	deltaSamples = 16000
	maxSamples   = 1 << 20
	// maxEvicted is how many names of forgotten consumers are remembered.
	maxEvicted = 256
)

// consumers holds what each scraper has been told: the values of its last profile, without stacks.
type consumers struct {
	mu      sync.Mutex // protects all, evicted and seen of each
	all     map[string]*consumer
	evicted []string // newest last
}

type consumer struct {
	mu       sync.Mutex // held while a profile is made for it
	told     *capi.Snapshot
	returned bool        // it had been evicted: what it was told before isn't known any more
	gone     atomic.Bool // evicted: whoever holds mu forgets it
	seen     time.Time   // protected by consumers.mu
}

// get returns the consumer of that name. When there are too many, a new one takes the place of the one that has not asked for
// the longest time, so that nobody can keep others out.
func (c *consumers) get(id string) *consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.all[id]
	if found == nil {
		if len(c.all) >= maxConsumers {
			c.evict()
		}
		if c.all == nil {
			c.all = map[string]*consumer{}
		}
		found = &consumer{}
		if i := slices.Index(c.evicted, id); i >= 0 {
			found.returned = true
			c.evicted = slices.Delete(c.evicted, i, i+1)
		}
		c.all[id] = found
	}
	found.seen = time.Now()
	return found
}

// evict forgets the consumer that has not asked for the longest time.
func (c *consumers) evict() {
	oldest := ""
	var other *consumer
	for name, c := range c.all {
		if other == nil || c.seen.Before(other.seen) {
			oldest, other = name, c
		}
	}
	if len(c.evicted) == maxEvicted {
		c.evicted = slices.Delete(c.evicted, 0, 1)
	}
	c.evicted = append(c.evicted, oldest)
	delete(c.all, oldest)
	other.gone.Store(true)
	other.forgetIfGone()
}

// forgetIfGone frees what an evicted consumer was told, unless a profile is being made for it: then that ends by it.
func (c *consumer) forgetIfGone() {
	if c.gone.Load() && c.mu.TryLock() {
		c.forget()
		c.mu.Unlock()
	}
}

func (c *consumer) forget() {
	if c.told != nil {
		c.told.Free()
		c.told = nil
	}
}

// Delta returns the handler of /debug/pprof/delta_cgoheap, for continuous profilers that add up what they get: the alloc
// values are those since this consumer's last request, or since the program started; the inuse values are of this moment.
// Nothing is negative. Parameters of the query:
//
//   - id=NAME: keeps the consumers apart that want the same data; at most 8. A new one takes the place of the one that has not
//     asked for the longest time; when that one comes back, its alloc values begin again at that moment, so that nothing is
//     added up twice. Without it, it is the consumer with the empty name.
//   - max=N: at most N samples, 16,000 unless it is set, as Pyroscope takes them; the largest are kept, and what the
//     rest adds up to is the sample [other].
func Delta() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		// Each answer counts as told. HEAD isn't served, therefore, and no page of another site may ask.
		if !serving.Method(w, r, http.MethodGet) || serving.Refuse(w, r, true) {
			return
		}
		query := serving.Query(w, r, "id", "max")
		if query == nil {
			return
		}
		id := query.Get("id")
		if len(id) > maxID || !utf8.ValidString(id) {
			serving.Error(w, http.StatusBadRequest, fmt.Sprintf(`invalid value %.100q for "id" - must be text of at most %d bytes`, id, maxID))
			return
		}
		limit := deltaSamples
		if text := query.Get("max"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > maxSamples {
				serving.Error(w, http.StatusBadRequest, fmt.Sprintf(`invalid value %.100q for "max" - must be from 1 to %d`, text, maxSamples))
				return
			}
			limit = n
		}
		leave := serving.Enter(w, r, profileGate)
		if leave == nil {
			return
		}
		defer leave()
		data, err := server.deltas.get(id).next(limit)
		if err != nil {
			if !capi.Supported {
				err = cgoheap.ErrUnsupported
			}
			serving.Error(w, statusOf(err), err.Error())
			return
		}
		leave()
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="delta_cgoheap"`)
		serving.Send(w, r, began, data)
	})
}

// next makes the consumer's next profile.
func (c *consumer) next(limit int) ([]byte, error) {
	c.mu.Lock()
	defer c.forgetIfGone()
	defer c.mu.Unlock()
	s, err := capi.Take()
	if err != nil {
		return nil, err
	}
	defer s.Free()
	told, err := s.Values()
	if err != nil {
		return nil, err
	}
	earlier := c.told
	if earlier == nil && c.returned {
		earlier = told
	}
	err = s.Since(earlier)
	if err == nil {
		err = s.Limit(limit - 1)
	}
	var data []byte
	if err == nil {
		data, err = s.Encode(0)
	}
	if err != nil {
		told.Free()
		return nil, err
	}
	c.forget()
	c.told = told
	return data, nil
}
