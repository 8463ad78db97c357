//go:build !(linux && (amd64 || arm64) && cgo)

// Package forced allocates C memory for tests; here there is none, and the tests that call it are skipped.
package forced

import "unsafe"

// Block is a block of C memory.
type Block = unsafe.Pointer

const unsupported = "tests/ctest/forced: no C memory on this platform"

func One(int) Block        { panic(unsupported) }
func Malloc(int) Block     { panic(unsupported) }
func CString(string) Block { panic(unsupported) }
func CBytes([]byte) Block  { panic(unsupported) }
func Free(Block)           { panic(unsupported) }
