//go:build !(linux && (amd64 || arm64) && cgo)

// Package plain allocates C memory for tests; here there is none, and the tests that call it are skipped.
package plain

import "unsafe"

// Block is a block of C memory.
type Block = unsafe.Pointer

const unsupported = "tests/ctest/plain: no C memory on this platform"

func Chain(int) Block         { panic(unsupported) }
func One(int) Block           { panic(unsupported) }
func Other(int) Block         { panic(unsupported) }
func Moved(int, int) Block    { panic(unsupported) }
func InPreamble(int) Block    { panic(unsupported) }
func FromOwnThread(int) Block { panic(unsupported) }
func Release(Block)           { panic(unsupported) }
func Churn(int, int)          { panic(unsupported) }
func Malloc(int) Block        { panic(unsupported) }
func CString(string) Block    { panic(unsupported) }
func CBytes([]byte) Block     { panic(unsupported) }
func Free(Block)              { panic(unsupported) }
