// Package serving is what the HTTP handlers of this module share, so that no request can hurt the process that is being looked
// at: places for the work, of which there are few; answers that are sent to slow readers without holding one; and the refusal
// of requests that another site's page makes a browser send.
package serving

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrBusy is the answer to one request too many.
var ErrBusy = errors.New("too many requests at a time")

// Gate lets few requests work at a time and few more wait. It may be used from several goroutines.
type Gate struct {
	working, here chan struct{}
	patience      time.Duration
}

// NewGate returns a gate at which working requests work at a time, and waiting more wait for at most patience.
func NewGate(working, waiting int, patience time.Duration) *Gate {
	return &Gate{make(chan struct{}, working), make(chan struct{}, working+waiting), patience}
}

// Enter waits for a place and returns the function that gives it back, which may be called more than once: before the answer
// is sent, and deferred. The error is [ErrBusy], or the context's.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.here <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case g.working <- struct{}{}:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrBusy
	}
	if err != nil {
		<-g.here
		return nil, err
	}
	inside := true
	return func() {
		if inside {
			inside = false
			<-g.working
			<-g.here
		}
	}, nil
}

// Limits says how many requests work and wait, for the text of an error.
func (g *Gate) Limits() (working, waiting int) {
	return cap(g.working), cap(g.here) - cap(g.working)
}

// Enter is [Gate.Enter] for a request: it answers one that can't be served now, by 503 with Retry-After, and returns nil then.
func Enter(w http.ResponseWriter, r *http.Request, g *Gate) (leave func()) {
	leave, err := g.Enter(r.Context())
	if err != nil {
		working, waiting := g.Limits()
		Busy(w, 1, fmt.Sprintf("%v - at most %d of this kind are worked on, and at most %d wait", err, working, waiting))
		return nil
	}
	return leave
}

// Busy answers by 503, with the seconds after which trying again makes sense.
func Busy(w http.ResponseWriter, seconds int, text string) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	Error(w, http.StatusServiceUnavailable, text)
}

// Error answers with a text, in the form in which `go tool pprof` shows it to its user.
func Error(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Go-Pprof", "1")
	h.Del("Content-Disposition")
	h.Del("Content-Length")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// Method answers by 405 and returns false unless the request has one of these methods.
func Method(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	Error(w, http.StatusMethodNotAllowed, fmt.Sprintf("method %.20s is not allowed - use %s", r.Method, strings.Join(allowed, " or ")))
	return false
}

// Query returns the parameters of the query. A query that can't be read, or one of the named parameters given twice, is
// answered by 400, and nil is returned.
func Query(w http.ResponseWriter, r *http.Request, names ...string) url.Values {
	values, err := ParseQuery(r, names...)
	if err != nil {
		Error(w, http.StatusBadRequest, err.Error())
		return nil
	}
	return values
}

// ParseQuery is [Query] that returns the error.
func ParseQuery(r *http.Request, names ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query %.100q can't be read: %w", r.URL.RawQuery, err)
	}
	for _, name := range names {
		if len(values[name]) > 1 {
			return nil, fmt.Errorf("%q is given %d times: %.100q", name, len(values[name]), values[name])
		}
	}
	return values, nil
}
