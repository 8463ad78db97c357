// Package cgoheap shows the C memory of a cgo program as a pprof profile: which C line allocated it, and the Go call that
// led there.
//
// Most programs import this, which captures every malloc of the process, and imports this package:
//
//	import _ "github.com/cgoheap/cgoheap/go/interpose"
//
// This package by itself registers the profile "cgoheap" with [runtime/pprof], so that it is on the /debug/pprof/ page of
// [net/http/pprof], and nothing else: it starts no goroutine that stays, serves no HTTP and captures nothing.
//
// # What is captured
//
// Calls of malloc, free and their relatives (calloc, realloc, strdup, posix_memalign, asprintf and so on), in one or several of
// these ways; a block is counted once:
//
//   - The import of [github.com/cgoheap/cgoheap/go/interpose] captures all of the process: libraries, C++'s operator new,
//     C.CString.
//   - #cgo CPPFLAGS: -include cgoheap.h captures the C code of one package, and what cgo writes for it: C.malloc, C.CString and
//     C.CBytes. The line is exact in a stripped program too.
//   - #include "cgoheap.h" in a cgo preamble or in a .c file captures the calls that are written there.
//
// The header is in this module's folder include; `go run github.com/cgoheap/cgoheap/go/cmd/cgoheap cflags` prints the flag with
// which the compiler finds it. docs/capture.md in the repository says what each way sees.
//
// A sampled block costs a stack walk of a microsecond or so; all others a subtraction and a branch. The mean distance
// between samples is 512 KiB by default, as in [runtime.MemProfileRate]; see [SetRate]. The values of a profile are
// estimates of the memory that the program asked for, not of the little more that the allocator took for it; at rate 1
// they are exact.
//
// # The profile
//
// The sample types are those of Go's own heap profile: alloc_objects, alloc_space, inuse_objects and inuse_space, which is
// the default. Stacks run from the C line through the goroutine.
//
//	go tool pprof http://localhost:6060/debug/pprof/cgoheap
//
// net/http/pprof ignores ?gc= for profiles that it doesn't know, and refuses ?seconds=. [Handler] does both:
//
//	http.Handle("GET /debug/pprof/cgoheap", cgoheap.Handler())
//
// The "GET " in the pattern is needed beside net/http/pprof's own patterns: the mux panics on a pattern that is more
// general in its method and more special in its path.
//
// # Dumps
//
// With CGOHEAP=dump=/var/tmp/shop,limit=2GiB in its environment, a program writes the profile to a file when live C memory
// passes 2 GiB, and again as it grows; also by a factor or on a signal. See docs/dumps.md in the repository. Only then does
// the package start goroutines that stay. Nothing is written at exit: Go's exit runs no C destructors.
//
// # Limits
//
// The package works on linux/amd64 and linux/arm64 with glibc and cgo. Elsewhere it compiles, and [WriteHeapProfile] returns
// [ErrUnsupported], [Handler] answers 501 and no profile is registered. A release carries the archive of the C
// side; in a checkout `make build` builds it, and without it the build fails and says so. Programs built with -race and -asan
// work.
//
// How Go lays out its stacks and how runtime/pprof keeps a profile are checked when the program starts. Where a check
// fails, as it might with a Go version yet to come, that part stays off and [Stats] says why.
package cgoheap
