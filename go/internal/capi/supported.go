//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#cgo CFLAGS: -I${SRCDIR}/../../../include -DCGOHEAP_NO_REDIRECT

#include <cgoheap.h>

// Makes a stale archive fail to link, with a name that explains itself. In a function, since for a variable that Go names
// cgo writes a declaration of its own, which is at odds with the header when CGO_CFLAGS include that everywhere.
static unsigned int cgoheap_capi_abi(void) { return cgoheap_abi_2; }

#cgo noescape cgoheap_capi_abi
#cgo nocallback cgoheap_capi_abi
#cgo noescape cgoheap_result_text
#cgo nocallback cgoheap_result_text
*/
import "C"

import (
	"fmt"

	_ "github.com/cgoheap/cgoheap/include" // keeps the header in vendored copies
)

// Supported says whether this program has the C side: it was built for a platform that cgoheap knows, and with cgo.
const Supported = true

var _ = C.cgoheap_capi_abi()

// failure turns a result code of the C side into an error that says what was being done.
func failure(doing string, result C.int) error {
	if result == C.CGOHEAP_OK {
		return nil
	}
	return fmt.Errorf("cgoheap: %s: %s", doing, C.GoString(C.cgoheap_result_text(result)))
}
