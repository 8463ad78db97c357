//go:build header

package main

// With CGO_CFLAGS="-include cgoheap.h": all C code that this build compiles sees the header.
import _ "github.com/cgoheap/cgoheap/go"
