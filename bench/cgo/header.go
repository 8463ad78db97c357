//go:build header

package main

// With CGO_CFLAGS="-include cgoheap.h": all C code that this build compiles goes through the header's door.
import _ "github.com/cgoheap/cgoheap/go"
