//go:build linux && arm64 && cgo

package linux_arm64

/*
#cgo LDFLAGS: ${SRCDIR}/libcgoheap.a -lpthread -ldl -lm

#if !__has_include("digest.h") || !__has_include("libcgoheap.a")
#error "cgoheap: the archive is not built: run 'make build' in the cgoheap repository"
#else
#include "digest.h"
#endif
*/
import "C"

// Digest is the SHA-256 of the archive that this package was compiled for, as `make build` wrote it.
const Digest = C.CGOHEAP_ARCHIVE_DIGEST
