// Package include holds cgoheap.h. It is a Go package so that `go mod vendor` keeps the folder and `go list` finds it.
package include

import "embed"

// Files are the header and the wrappers that go with it. A program that doesn't name them doesn't carry them.
//
//go:embed *.h cmath cstdlib
var Files embed.FS
