//go:build linux && amd64 && cgo && !asan && !msan && !cgoheap_wrap

package interpose

// The compiler must not see malloc in these files as the function it knows.

// #cgo CFLAGS: -I${SRCDIR}/../../include -DCGOHEAP_NO_REDIRECT
import "C"
