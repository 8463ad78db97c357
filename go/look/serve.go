package look

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

// What is served at a time, of each kind, and how many more requests wait. One more is answered by 503 with Retry-After. No
// place is held while an answer is sent; see package serving for those. What each takes of memory:
//
//	page, stack     the C side's copy of all stacks: at most 96 MiB, the size of cgoheap's table of stacks, and the same again
//	                for one moment; 15 MB for 20,000 stacks of 50 frames
//	flame           see flameGate
//	allheap, delta  the same copy, the profile, and the profile packed
//	goheap, goroutine  what package runtime/pprof takes: some 200 bytes for each goroutine
//	metrics         some KiB
var (
	pageGate    = serving.NewGate(2, 14, 5*time.Second)
	profileGate = serving.NewGate(2, 14, 5*time.Second)
	metricsGate = serving.NewGate(2, 30, 5*time.Second)
)

// readOnly makes a handler for GET and HEAD of what changes nothing: a link on another site may lead there.
func readOnly(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if serving.Method(w, r, http.MethodGet, http.MethodHead) && !serving.Refuse(w, r, false) {
			serve(w, r)
		}
	})
}

// serveGo serves one of Go's own profiles, so that the page's links work wherever it is mounted.
func serveGo(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		query := serving.Query(w, r, "debug")
		if query == nil {
			return
		}
		debug := 0
		if text := query.Get("debug"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > 1 {
				serving.Error(w, http.StatusBadRequest, fmt.Sprintf(`invalid value %.100q for "debug" - must be 0 or 1`, text))
				return
			}
			debug = n
		}
		var out bytes.Buffer
		if r.Method != http.MethodHead {
			leave := serving.Enter(w, r, profileGate)
			if leave == nil {
				return
			}
			defer leave()
			if err := pprof.Lookup(name).WriteTo(&out, debug); err != nil {
				serving.Error(w, http.StatusInternalServerError, err.Error())
				return
			}
			leave()
		}
		h := w.Header()
		if debug != 0 {
			h.Set("Content-Type", "text/plain; charset=utf-8")
		} else {
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
		}
		serving.Send(w, r, began, out.Bytes())
	}
}

// serveStack serves the frames of one stack as text, with their whole names.
func serveStack(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	query := serving.Query(w, r, "id")
	if query == nil {
		return
	}
	id, err := strconv.ParseUint(query.Get("id"), 10, 32)
	if err != nil {
		serving.Error(w, http.StatusBadRequest, fmt.Sprintf(`invalid value %.100q for "id" - must be the number of a stack, as the page's links have it`, query.Get("id")))
		return
	}
	leave := serving.Enter(w, r, pageGate)
	if leave == nil {
		return
	}
	defer leave()
	row := &stackRow{}
	if err := nameStacks(map[uint32]*stackRow{uint32(id): row}, []uint32{uint32(id)}, wholeName); err != nil {
		serving.Error(w, statusOf(err), err.Error())
		return
	}
	leave()
	if len(row.Frames) == 0 {
		serving.Error(w, http.StatusNotFound, fmt.Sprintf("there is no stack %d in this process", id))
		return
	}
	var out strings.Builder
	for _, f := range row.Frames {
		out.WriteString(f)
		out.WriteByte('\n')
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	serving.Send(w, r, began, []byte(out.String()))
}

// statusOf is the status of an answer that failed.
func statusOf(error) int {
	if !capi.Supported {
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// pageHeaders announces a page whose style and script carry the nonce; nothing else in it runs or is loaded, but for what its
// script asks of the page itself.
func pageHeaders(w http.ResponseWriter, nonce string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", nonce, nonce))
}
