//go:build linux && (amd64 || arm64) && cgo && !asan && !msan && !cgoheap_wrap

package interpose

// #cgo CFLAGS: -I${SRCDIR}/../../include -DCGOHEAP_NO_REDIRECT
import "C"
