package look

import (
	"bytes"
	"net/http"
	"runtime/pprof"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// AllHeap returns the handler of /debug/pprof/allheap: Go's heap profile and the C profile as one. Both have the same four
// sample types and name Go functions alike, so a flame graph shows what a Go function allocates by itself beside the C memory
// that it is the cause of. As Go's profile, the Go half is of the last garbage collection.
func AllHeap() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		data, err := allHeap()
		if err != nil {
			status := http.StatusInternalServerError
			if !capi.Supported {
				status = http.StatusNotImplemented
			}
			http.Error(w, err.Error(), status)
			return
		}
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="allheap"`)
		w.Write(data)
	})
}

func allHeap() ([]byte, error) {
	var c, g bytes.Buffer
	if err := cgoheap.WriteHeapProfile(&c); err != nil {
		return nil, err
	}
	if err := pprof.Lookup("heap").WriteTo(&g, 0); err != nil {
		return nil, err
	}
	return profiledata.Merge(g.Bytes(), c.Bytes())
}
