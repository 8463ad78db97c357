package look

import (
	"bytes"
	"net/http"
	"runtime/pprof"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

// AllHeap returns the handler of /debug/pprof/allheap: Go's heap profile and the C profile as one. Both have the same four
// sample types and name Go functions alike, so a flame graph shows what a Go function allocates by itself beside the C memory
// that it is the cause of. As Go's profile, the Go half is of the last garbage collection.
func AllHeap() http.Handler {
	return readOnly(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		var data []byte
		if r.Method != http.MethodHead {
			leave := serving.Enter(w, r, profileGate)
			if leave == nil {
				return
			}
			defer leave()
			var err error
			if data, err = allHeap(); err != nil {
				serving.Error(w, statusOf(err), err.Error())
				return
			}
			leave()
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", `attachment; filename="allheap"`)
		serving.Send(w, r, began, data)
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
