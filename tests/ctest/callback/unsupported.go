//go:build !(linux && (amd64 || arm64) && cgo)

// Package callback calls Go from C, for tests; here it can't, and the tests that call it are skipped.
package callback

import "unsafe"

var Hook = func() {}

func Through(depth, size int) unsafe.Pointer {
	panic("tests/ctest/callback: no C memory on this platform")
}
