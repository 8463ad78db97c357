// Package clean is a user's test package with nothing wrong in it: cgo, goroutines, threads and HTTP. It must never fail.
package clean

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
	"github.com/cgoheap/cgoheap/tests/cgoheaptest/cases"
	"github.com/cgoheap/cgoheap/tests/cgoheaptest/libc"
)

func TestMain(m *testing.M) { cgoheaptest.VerifyTestMain(m) }

func TestHTTP(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := cases.Alloc(100)
		defer cases.Free(p)
		libc.Threads(1)
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			answer, err := server.Client().Get(server.URL)
			if err != nil {
				t.Error(err)
				return
			}
			io.ReadAll(answer.Body)
			answer.Body.Close()
		})
	}
	all.Wait()
}

func TestGoroutinesOnThreadsOfTheirOwn(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			if i%2 == 0 {
				runtime.LockOSThread() // the thread ends with the goroutine
			}
			cases.Balanced(100, i)
			libc.Threads(2)
		})
	}
	all.Wait()
}

func TestFinalizers(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	for i := range 200 {
		cases.NewBuffer(i)
	}
}

func TestNamesAndEnvironment(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)
	t.Setenv("CGOHEAP_TEST_VARIABLE", "some value")
	(&net.Resolver{}).LookupHost(t.Context(), "localhost")
}

func TestParallelOne(t *testing.T) {
	t.Parallel()
	defer cgoheaptest.VerifyNone(t)
	p := cases.Alloc(1000)
	cases.Balanced(1000, 10)
	cases.Free(p)
}

func TestParallelTwo(t *testing.T) {
	t.Parallel()
	defer cgoheaptest.VerifyNone(t)
	p := cases.Alloc(2000)
	cases.Balanced(1000, 10)
	cases.Free(p)
}
