package cgoheap_test

import (
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"

	cgoheap "github.com/cgoheap/cgoheap/go"
)

// The import alone puts the profile on the page of net/http/pprof; the handler adds ?seconds= and ?gc=1.
func Example() {
	mux := http.NewServeMux()
	mux.Handle("GET /debug/pprof/cgoheap", cgoheap.Handler())
	// http.ListenAndServe("localhost:6060", mux)
}

// A program that ends can leave its profile in a file, for `go tool pprof`.
func ExampleWriteHeapProfile() {
	f, err := os.CreateTemp("", "cgoheap-*.pb.gz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := cgoheap.WriteHeapProfile(f); err != nil {
		fmt.Println(err)
	}
	// Output:
}

func ExampleSetRate() {
	old := cgoheap.Rate()
	cgoheap.SetRate(1) // every allocation
	defer cgoheap.SetRate(old)
	fmt.Println(cgoheap.Rate())
	// Output: 1
}

func ExampleReadStats() {
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	if s.Lost.SamplesNoMemory > 0 {
		fmt.Println("the profile is too low: no memory for", s.Lost.SamplesNoMemory, "samples")
	}
	if !s.GoFrames {
		fmt.Println("no Go callers:", s.GoFramesProblem)
	}
	// Output:
}
