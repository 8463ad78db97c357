package look

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
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
	// idleConsumer: one that has not asked for so long may be forgotten for a new one.
	idleConsumer = 10 * time.Minute
)

// consumers holds what each scraper has been told: the values of its last profile, without stacks.
type consumers struct {
	mu  sync.Mutex // protects all
	all map[string]*consumer
}

type consumer struct {
	mu   sync.Mutex // held while a profile is made for it
	told *capi.Snapshot
	seen time.Time // protected by consumers.mu
}

// get returns the consumer of that name; nil when there are too many.
func (c *consumers) get(id string) *consumer {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	found := c.all[id]
	if found == nil {
		if len(c.all) >= maxConsumers {
			oldest := ""
			for name, other := range c.all {
				if oldest == "" || other.seen.Before(c.all[oldest].seen) {
					oldest = name
				}
			}
			other := c.all[oldest]
			if now.Sub(other.seen) < idleConsumer || !other.mu.TryLock() {
				return nil
			}
			other.forget()
			other.mu.Unlock()
			delete(c.all, oldest)
		}
		if c.all == nil {
			c.all = map[string]*consumer{}
		}
		found = &consumer{}
		c.all[id] = found
	}
	found.seen = now
	return found
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
//   - id=NAME: keeps the consumers apart that want the same data; at most 8, and one that didn't ask for ten minutes
//     makes room for a new one. Without it, it is the consumer with the empty name.
//   - max=N: at most N samples, 16,000 unless it is set, as Pyroscope takes them; the largest are kept, and what the
//     rest adds up to is the sample [other].
func Delta() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet {
			h.Set("Allow", "GET")
			http.Error(w, "use GET: the answer counts as told", http.StatusMethodNotAllowed)
			return
		}
		id := r.URL.Query().Get("id")
		if len(id) > maxID {
			http.Error(w, fmt.Sprintf("id has more than %d bytes", maxID), http.StatusBadRequest)
			return
		}
		limit := deltaSamples
		if text := r.URL.Query().Get("max"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > maxSamples {
				http.Error(w, fmt.Sprintf("invalid value %q for max - must be from 1 to %d", text, maxSamples), http.StatusBadRequest)
				return
			}
			limit = n
		}
		c := server.deltas.get(id)
		if c == nil {
			h.Set("Retry-After", "60")
			http.Error(w, fmt.Sprintf("there are %d consumers already", maxConsumers), http.StatusServiceUnavailable)
			return
		}
		data, err := c.next(limit)
		if err != nil {
			status := http.StatusInternalServerError
			if !capi.Supported {
				status = http.StatusNotImplemented
				err = cgoheap.ErrUnsupported
			}
			http.Error(w, err.Error(), status)
			return
		}
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="delta_cgoheap"`)
		w.Write(data)
	})
}

// next makes the consumer's next profile.
func (c *consumer) next(limit int) ([]byte, error) {
	c.mu.Lock()
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
	err = s.Since(c.told)
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
