package cgoheap_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
)

func TestEverythingSaysThatItIsUnsupported(t *testing.T) {
	if capi.Supported {
		t.Skip("it is supported here")
	}
	cgoheap.SetRate(1)
	if rate := cgoheap.Rate(); rate != 0 {
		t.Errorf("rate %d", rate)
	}
	if err := cgoheap.WriteHeapProfile(io.Discard); err != cgoheap.ErrUnsupported || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	w := httptest.NewRecorder()
	cgoheap.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/debug/pprof/cgoheap", nil))
	if w.Code != http.StatusNotImplemented || !strings.Contains(w.Body.String(), "needs "+capi.Platforms+" and cgo") {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if pprof.Lookup("cgoheap") != nil {
		t.Error("a profile is registered")
	}
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	if s.GoFrames || s.Registered || s.GoFramesProblem == "" || s.RegisteredProblem == "" {
		t.Errorf("%+v", s)
	}
}
