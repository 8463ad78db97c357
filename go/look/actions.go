package look

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/garbage"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/serving"
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

// maxForm bounds the body of a POST.
const maxForm = 4 << 10

// refused says why a request for a change isn't served; it is empty when it is. See hosts.go for the names.
//
// What a page sends carries the token that only a reader of the page has. Without it, a browser has to say by its headers that
// the request is from the page's origin, and by a name that is ours; so does what isn't a browser, and sends none of them.
func refused(w http.ResponseWriter, r *http.Request) (status int, why string) {
	h := r.Header
	site, origin := h.Get("Sec-Fetch-Site"), h.Get("Origin")
	if site != "" && site != "same-origin" && site != "none" {
		return http.StatusForbidden, "a page of another site asked for this"
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return http.StatusBadRequest, "the form can't be read: " + err.Error()
	}
	if !mayChange(r) {
		return http.StatusForbidden, fmt.Sprintf("over plain http the name %.100q may be anybody's (DNS rebinding) - use the address of the server, localhost, or https", hostName(r))
	}
	if token := r.PostForm.Get("token"); token != "" {
		if subtle.ConstantTimeCompare([]byte(token), []byte(server.token)) != 1 {
			return http.StatusForbidden, "the page is from before the process started - load it again"
		}
		return 0, ""
	}
	switch {
	case !ownName(hostName(r)):
		return http.StatusForbidden, fmt.Sprintf("under the name %.100q this needs the token that is in the page's form - press its button, or use the address of the server", hostName(r))
	case site == "" && origin != "" && !serving.FromHost(r, origin), site == "" && origin == "" && h.Get("Referer") != "" && !serving.FromHost(r, h.Get("Referer")):
		return http.StatusForbidden, "a page of another site asked for this, or a proxy has changed the name of the host - press the button in the page, which sends a token"
	}
	return 0, ""
}

// serveAction serves a button: POST only, then back to the page.
func serveAction(act func(context.Context) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !serving.Method(w, r, http.MethodPost) {
			return
		}
		if status, why := refused(w, r); why != "" {
			serving.Error(w, status, why)
			return
		}
		a := &server.actions
		if !a.busy.TryLock() {
			serving.Busy(w, 1, "another gc or trim is running")
			return
		}
		defer a.busy.Unlock()
		before, err := measure()
		if err != nil {
			serving.Error(w, statusOf(err), err.Error())
			return
		}
		name, err := act(r.Context())
		if err != nil {
			serving.Error(w, statusOf(err), err.Error())
			return
		}
		memory.AskMallocNext()
		server.history.Take() // the verdict is to know of it
		after, err := measure()
		if err != nil {
			serving.Error(w, statusOf(err), err.Error())
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
