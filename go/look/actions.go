package look

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/garbage"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

// actions lets one button work at a time, and remembers what the last one did.
type actions struct {
	busy sync.Mutex
	mu   sync.Mutex // protects all below
	last string
	// What the verdict is to know of.
	trims      []verdict.Trim
	collection *verdict.Collection // the last that the page made by itself
}

func (a *actions) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// serveAction serves a button: POST only, then back to the page.
func serveAction(act func(context.Context) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", "POST")
			http.Error(w, "use POST", http.StatusMethodNotAllowed)
			return
		}
		a := &server.actions
		if !a.busy.TryLock() {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "another gc or trim is running", http.StatusServiceUnavailable)
			return
		}
		defer a.busy.Unlock()
		before, err := measure()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		name, err := act(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		memory.AskMallocNext()
		server.history.Take() // the verdict is to know of it
		after, err := measure()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if name == trimName {
			a.trimmed(verdict.Trim{Time: after.Time, FreeBefore: before.Resident[memory.CFree], FreeAfter: after.Resident[memory.CFree], Tops: after.CTops})
		}
		a.mu.Lock()
		last := fmt.Sprintf("%s %s: C live went from %s to %s, C kept by malloc from %s to %s, RSS from %s to %s.",
			before.Time.Format(time.TimeOnly), name, size(before.CLive), size(after.CLive),
			size(before.Resident[memory.CFree]), size(after.Resident[memory.CFree]), size(before.RSS), size(after.RSS))
		a.last = last
		a.mu.Unlock()
		w.Header().Set("Location", "./#actions")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusSeeOther)
		fmt.Fprintln(w, last) // for curl
	}
}

func collectGarbage(ctx context.Context) (string, error) {
	garbage.Collect(ctx)
	return "garbage collection, twice, with finalizers", nil
}

const trimName = "malloc_trim"

func trim(context.Context) (string, error) {
	_, err := capi.Trim()
	return trimName, err
}
