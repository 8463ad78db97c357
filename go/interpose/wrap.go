//go:build linux && (amd64 || arm64) && cgo && !asan && !msan && cgoheap_wrap

package interpose

// #cgo CFLAGS: -I${SRCDIR}/../../include -DCGOHEAP_NO_REDIRECT -DCGOHEAP_WRAP
// #cgo LDFLAGS: -Wl,--wrap=malloc -Wl,--wrap=free -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=reallocarray
// #cgo LDFLAGS: -Wl,--wrap=posix_memalign -Wl,--wrap=aligned_alloc -Wl,--wrap=memalign -Wl,--wrap=valloc
// #cgo LDFLAGS: -Wl,--wrap=pvalloc -Wl,--wrap=strdup -Wl,--wrap=strndup -Wl,--wrap=wcsdup
import "C"
