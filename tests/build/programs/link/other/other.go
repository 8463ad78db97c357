// Package other leaks in C, and includes the header by itself.
package other

// #cgo CPPFLAGS: -I${SRCDIR}/../../../../../include
// #include <cgoheap.h>
// #include <stdlib.h>
// static void *other_leak(size_t size) { return malloc(size); }
import "C"

// Leak loses size bytes.
func Leak(size int) { C.other_leak(C.size_t(size)) }
