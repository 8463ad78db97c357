package cgoheap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/garbage"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

// maxSeconds is the longest time that ?seconds= may ask for.
const maxSeconds = 3600

// Handler returns the handler of the profile, which serves more than the index page of net/http/pprof can. It reads these
// parameters of the query, and ignores others:
//
//   - debug=0, the default: the profile as gzipped protocol buffer; debug=1 or debug=2: as text.
//   - gc=1: runs the garbage collector twice first, and waits up to five seconds for the finalizers and cleanups
//     that became due, so that C memory which they free is not in the profile. Together with seconds, it does so at
//     both ends.
//   - seconds=N, from 1 to 3600: what changed in the next N seconds, as gzipped protocol buffer. Freed memory counts
//     negative. It can't be combined with debug=1.
//   - min_age=60s, max_age=10m, one or both: only live blocks that are that old at least, or at most. Their alloc values
//     are their inuse values: what has been freed has no age. Samples carry the label age, which is "under 1m", "1m to 10m",
//     "10m to 1h" or "over 1h", so a stack may be there four times; readers add that up. They can't be combined with seconds.
//   - ages=1: the same label, on all live blocks.
//   - peak=1: what was live when live C memory was most so far, to one part in 256; the profile's time is that moment. Alloc
//     values are inuse values. It can't be combined with seconds, ages or gc.
//
// Headers, errors, write deadlines and cancellation are like those of net/http/pprof. A query that makes no sense is
// answered by 400 and a text that says why, methods other than GET and HEAD by 405. Where the profile isn't supported, the
// answer is 501.
//
// A request can't hurt the process. Four profiles at a time are made, and four requests at a time may wait for their seconds
// to pass; more than that are answered by 503 with Retry-After. Making one takes a copy of the table of stacks, which has
// 96 MiB at most, and a few times the size of the profile; waiting takes the copy. No place is held while an answer is sent:
// a reader that takes less than 64 KiB in ten seconds is cut off, and so is the oldest of more than 32 that have not read
// theirs. The limits hold for the process, not for each handler. What a page of another site makes a browser ask for is
// answered by 403: a link may lead to a profile, but not to one with gc=1 or seconds.
//
// Beside net/http/pprof, register it with the method in the pattern, or the mux panics:
//
//	http.Handle("GET /debug/pprof/cgoheap", cgoheap.Handler())
func Handler() http.Handler {
	return handler{}
}

type handler struct{}

// query is what a request asks for.
type query struct {
	debug   int
	gc      bool
	seconds int // 0: a profile of this moment
	filter  capi.Filter
}

// parseQuery reads the parameters of a request; the error is for the client.
func parseQuery(r *http.Request) (query, error) {
	var q query
	values, err := serving.ParseQuery(r, "debug", "gc", "seconds", "min_age", "max_age", "ages", "peak")
	if err != nil {
		return q, err
	}
	if text := values.Get("debug"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 2 {
			return q, fmt.Errorf(`invalid value %q for "debug" - must be 0, 1 or 2`, text)
		}
		q.debug = n
	}
	if text := values.Get("gc"); text != "" {
		if text != "0" && text != "1" {
			return q, fmt.Errorf(`invalid value %q for "gc" - must be 0 or 1`, text)
		}
		q.gc = text == "1"
	}
	if text := values.Get("seconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxSeconds {
			return q, fmt.Errorf(`invalid value %q for "seconds" - must be a whole number from 1 to %d`, text, maxSeconds)
		}
		if q.debug != 0 {
			return q, errors.New("seconds and debug params are incompatible")
		}
		q.seconds = n
	}
	for name, flag := range map[string]*bool{"ages": &q.filter.ByAge, "peak": &q.filter.Peak} {
		text := values.Get(name)
		if text != "" && text != "0" && text != "1" {
			return q, fmt.Errorf(`invalid value %q for %q - must be 0 or 1`, text, name)
		}
		if *flag = text == "1"; *flag && q.seconds != 0 {
			return q, fmt.Errorf("seconds and %s params are incompatible", name)
		}
	}
	for name, age := range map[string]*time.Duration{"min_age": &q.filter.MinAge, "max_age": &q.filter.MaxAge} {
		text := values.Get(name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return q, fmt.Errorf(`invalid value %q for %q - must be a positive duration like 60s or 1h30m`, text, name)
		}
		if q.seconds != 0 {
			return q, fmt.Errorf("seconds and %s params are incompatible", name)
		}
		*age = d
		q.filter.ByAge = true
	}
	if q.filter.MaxAge != 0 && q.filter.MinAge > q.filter.MaxAge {
		return q, fmt.Errorf("nothing is older than min_age=%v and younger than max_age=%v", q.filter.MinAge, q.filter.MaxAge)
	}
	if q.filter.Peak && (q.filter.ByAge || q.gc) {
		return q, errors.New("the peak is over: peak can't be combined with ages, min_age, max_age or gc")
	}
	return q, nil
}

func (handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !serving.Method(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	if !capi.Supported {
		serving.Error(w, http.StatusNotImplemented, ErrUnsupported.Error())
		return
	}
	q, err := parseQuery(r)
	if err != nil {
		serving.Error(w, http.StatusBadRequest, err.Error())
		return
	}
	// What collects garbage, and what holds one of few places for long, is not for the pages of other sites to ask.
	if serving.Refuse(w, r, q.gc || q.seconds != 0) {
		return
	}
	if r.Method == http.MethodHead { // the headers need no profile
		setHeaders(w, q)
		return
	}
	var data []byte
	if q.seconds == 0 {
		data, err = snapshotProfile(r.Context(), q)
	} else {
		configureWriteDeadline(w, r, q.seconds)
		began = began.Add(time.Duration(q.seconds) * time.Second)
		data, err = deltaProfile(r.Context(), q)
	}
	if err != nil {
		serveFailure(w, q, err)
		return
	}
	setHeaders(w, q)
	serving.Send(w, r, began, data)
}

// errBusy is the answer of snapshotProfile and deltaProfile to one request too many.
var errBusy = errors.New("too many profiles at a time")

// snapshotProfile makes a profile of this moment.
func snapshotProfile(ctx context.Context, q query) ([]byte, error) {
	if !encoders.tryAcquire() {
		return nil, errBusy
	}
	defer encoders.release()
	if q.gc {
		garbage.Collect(ctx)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return collect(q.debug, q.filter)
}

// deltaProfile makes a profile of what changes in the next q.seconds.
func deltaProfile(ctx context.Context, q query) ([]byte, error) {
	if !deltas.tryAcquire() {
		return nil, errBusy
	}
	defer deltas.release()
	if q.gc {
		garbage.Collect(ctx)
	}
	earlier, err := capi.Take()
	if err != nil {
		return nil, err
	}
	defer earlier.Free()

	timer := time.NewTimer(time.Duration(q.seconds) * time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}

	// Unlike a profile of this moment, which is refused at once, it waits for a place: it has waited that long already.
	if err := encoders.acquire(ctx); err != nil {
		return nil, err
	}
	defer encoders.release()
	if q.gc {
		garbage.Collect(ctx)
	}
	later, err := capi.Take()
	if err != nil {
		return nil, err
	}
	defer later.Free()
	if err := later.Subtract(earlier); err != nil {
		return nil, err
	}
	return later.Encode(0)
}

// setHeaders announces a profile.
func setHeaders(w http.ResponseWriter, q query) {
	h := w.Header()
	if q.debug != 0 {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		return
	}
	name := profileName
	if q.seconds != 0 {
		name += "-delta"
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s"`, name))
}

// serveFailure answers a request that was understood but not served.
func serveFailure(w http.ResponseWriter, q query, err error) {
	switch {
	case errors.Is(err, errBusy):
		// A profile is made in a second. When the first of the waiting requests will be done isn't known: each waits for
		// seconds of its own. So the client is told its own number.
		retry := 1
		if q.seconds != 0 {
			retry = min(q.seconds, 30)
		}
		serving.Busy(w, retry,
			fmt.Sprintf("%v - at most %d are made, and at most %d wait for their seconds to pass", err, maxProfiles, maxProfiles))
	case errors.Is(err, context.DeadlineExceeded):
		serving.Error(w, http.StatusRequestTimeout, err.Error())
	default:
		serving.Error(w, http.StatusInternalServerError, err.Error())
	}
}

// configureWriteDeadline adds the wait to the time that the server allows for an answer.
func configureWriteDeadline(w http.ResponseWriter, r *http.Request, seconds int) {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if ok && server.WriteTimeout > 0 {
		deadline := time.Now().Add(server.WriteTimeout + time.Duration(seconds)*time.Second)
		// A writer that can't set it keeps the server's deadline: as net/http/pprof has it.
		_ = http.NewResponseController(w).SetWriteDeadline(deadline)
	}
}
