// Package cgoheaptest lets tests prove that no C memory leaks, and benchmarks count it.
//
//	func TestOpen(t *testing.T) {
//		defer cgoheaptest.VerifyNone(t)
//		...
//	}
//
// [VerifyNone] fails the test when C memory that was allocated since the last VerifyNone (the first one: since package
// initialisation) is still live, and lists each leaking stack: bytes, blocks, C line and Go callers. [VerifyTestMain] does it
// once for a whole package. [ReportAllocs] adds C-B/op and C-allocs/op to a benchmark's line.
//
// # What is seen
//
// Importing the package turns on the sampling of every allocation, for the whole test program. C code is seen in the
// same ways as in a server: C code compiled with cgoheap.h, or, with no change to any C source,
//
//	import _ "github.com/cgoheap/cgoheap/go/interpose"
//
// in a test file: then every malloc of the process is seen. With the header alone, a block that is freed by code
// compiled without it looks like a leak.
//
// # What counts as a leak
//
// Each block counts by itself: a leak can't hide behind the free of an older block. Where anything is live, Go's garbage
// collector is run and finalizers and cleanups are waited for, so memory that they free is free. Memory that other goroutines
// are about to free gets a second; see [RetryFor]. Not counted is what libc, the dynamic loader and the Go runtime allocate and
// keep on purpose, such as the memory of threads, buffers of stdio, time zones and the environment: the rules, with
// reasons, are in ignore.go. A deferred VerifyNone runs before functions given to t.Cleanup: where those free memory, give
// VerifyNone to t.Cleanup too, first of all.
//
// # First use
//
// Nearly every library keeps something that it allocates at its first use, as long as the process runs. Use it once and call
// [Baseline], which accepts what is live: the leaks of what follows are found. A report in which each stack has leaked a single
// block says so. What a library keeps for each thread comes back with each thread on which Go calls it:
// runtime.LockOSThread at the beginning of the test helps, or [IgnoreFunction].
//
// # Parallel tests
//
// While other tests are running or waiting in t.Parallel, memory allocated under another unfinished test's function is that
// test's. What no test's function is on the stack of, or what parallel subtests of one test share, can't be told apart,
// and VerifyNone says so and fails, instead of guessing. VerifyTestMain has no such limits. Blocks that a test has accepted, by
// an option or by Baseline, and those of a test that has failed are no other test's leak.
//
// # Exact C lines
//
// Plain go test strips the program that it runs. The line of an allocation is then known for C code compiled with cgoheap.h
// only; of other C code the report names the Go line that called it and the object and offset. Run
//
//	go test -ldflags='-s=false -w=false'
//
// for all names and lines.
//
// # Flags
//
// As all flags of test programs that go test doesn't know, they come behind the packages, all of which have to import this one:
// go test ./codec -cgoheapprofilerate=4KiB. For go test ./... there is the environment: CGOHEAPPROFILERATE=4KiB go test ./...
//
//	-cgoheapprofile=FILE      writes the profile to FILE: at the end with VerifyTestMain, else at the end of each
//	CGOHEAPPROFILE=FILE       VerifyNone and ReportAllocs. A relative FILE lies in each package's folder, and in a folder, FOLDER/,
//	                          each package has a file of its own
//	-cgoheapprofilerate=SIZE  samples every SIZE bytes (4096, 4KiB, 1MB) instead of all; VerifyNone then sees
//	CGOHEAPPROFILERATE=SIZE   samples only
//
// # Limits
//
// It needs what package cgoheap needs. Elsewhere, without cgo, and with -asan or -msan, where the sanitizer owns malloc, all
// functions compile, verify nothing and log one line that says so.
package cgoheaptest
