package cgoheap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"github.com/cgoheap/cgoheap/go/internal/calibrate"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

// ErrUnsupported is what [WriteHeapProfile] returns in a program that has no C memory profile: on another platform than
// linux/amd64 or linux/arm64, or built without cgo. It is also an [errors.ErrUnsupported].
var ErrUnsupported = fmt.Errorf("cgoheap: needs %s and cgo, and this is %s/%s or built without cgo: %w",
	capi.Platforms, runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)

// profileName is what runtime/pprof and clients know the profile by.
const profileName = "cgoheap"

// maxRate is the greatest rate that the C side accepts.
const maxRate = 1 << 40

// SetRate sets the mean number of bytes between two sampled allocations: 1 samples every allocation, and 0 or less turns
// sampling off. Blocks that are sampled already stay in the profile until they are freed. It takes effect at the
// next allocation of every thread, and may be called at any time from any goroutine. Rates above 1 TiB count as 1 TiB.
//
// What Go calls a rate is an interval elsewhere, and a period in the profile itself.
func SetRate(bytes int) {
	if bytes < 0 {
		bytes = 0
	}
	capi.SetRate(min(int64(bytes), maxRate))
}

// Rate returns the mean number of bytes between two samples: 0 when sampling is off, or not supported. It may be
// called from any goroutine.
func Rate() int {
	return capi.Rate()
}

// WriteHeapProfile writes the current profile to w, as gzipped protocol buffer: what /debug/pprof/cgoheap serves.
// The error is [ErrUnsupported], or says what failed, or is w's own. It may be called from any goroutine; at most four
// profiles are made at the same time, and further calls wait.
func WriteHeapProfile(w io.Writer) error {
	return writeProfile(w, 0)
}

// writeProfile writes the profile to w: as gzipped protocol buffer when debug is 0, else as text.
func writeProfile(w io.Writer, debug int) error {
	if !capi.Supported {
		return ErrUnsupported
	}
	// net/http/pprof hands its ResponseWriter over, and of those any number may come; the program's own calls wait as long as
	// they have to.
	answer, served := w.(http.ResponseWriter)
	if served && !indexed.tryAcquire() {
		serving.Busy(answer, 1, errBusy.Error())
		return errBusy
	}
	err := encoders.acquire(context.Background())
	var data []byte
	if err == nil {
		data, err = collect(debug, capi.Filter{})
		encoders.release() // before the write, which may be as slow as its reader
	}
	if served {
		indexed.release()
	}
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// collect takes a snapshot of the blocks that pass and encodes it.
func collect(debug int, filter capi.Filter) ([]byte, error) {
	s, err := capi.TakeFiltered(filter)
	if err != nil {
		return nil, err
	}
	defer s.Free()
	if debug != 0 {
		if err := s.Limit(textStacks - 1); err != nil {
			return nil, err
		}
	}
	return s.Encode(debug)
}

// textStacks is how many stacks a profile has as text, which is for people: the largest. The rest is one, "[other]". All of
// 20,000 stacks of 50 frames would be 170 MB of it.
const textStacks = 1000

// The results of the checks at start, which [ReadStats] hands on; empty when all is well. Written while the package is
// initialised and never after that.
var (
	goFramesProblem   = notChecked
	registeredProblem = notChecked
)

const notChecked = "not supported on this platform, or built without cgo"

func init() {
	if !capi.Supported {
		return
	}
	goFramesProblem = calibrate.GoFrames()
	registeredProblem = register()
	startDumps()
}
