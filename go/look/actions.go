package look

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/garbage"
)

// actions lets one button work at a time, and remembers what the last one did.
type actions struct {
	busy sync.Mutex
	mu   sync.Mutex // protects last
	last string
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
		before, _, err := measure()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		name, err := act(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		server.history.take() // the verdict is to know of it
		after, _, _ := measure()
		a.mu.Lock()
		last := fmt.Sprintf("%s %s: C live went from %s to %s, C kept by malloc from %s to %s, RSS from %s to %s.",
			before.time.Format(time.TimeOnly), name, size(before.cLiveBytes), size(after.cLiveBytes),
			size(before.resident[cFree]), size(after.resident[cFree]), size(before.rss), size(after.rss))
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

func trim(context.Context) (string, error) {
	_, err := capi.Trim()
	return "malloc_trim", err
}
