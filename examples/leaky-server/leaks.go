//go:build cgo

package main

/*
// -include puts cgoheap.h before each C file of this package and also before the C code that cgo writes itself, which
// is where C.CString allocates. A plain #include "cgoheap.h" here would see the C libraries' calls only if their
// own files had it too, and C.CString never.
#cgo CFLAGS: -I${SRCDIR}/../../include -include cgoheap.h

#include <stdlib.h>

#include "catalog.h"
#include "prices.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"unsafe"
)

// What one call leaves behind: distinctive sizes, so that they are easy to find again in a profile.
const (
	queryBytes   = 10007 // with the final zero byte
	catalogBytes = C.CATALOG_NODES * C.CATALOG_NODE_BYTES
	pricesBytes  = C.PRICES_LIST_BYTES
)

// errNoMemory is the answer of a C library to malloc's NULL.
var errNoMemory = errors.New("out of C memory")

// query is what every client of this server looks for.
var query = strings.Repeat("q", queryBytes-1)

// leakCString forgets to free a C.CString, unless fixed.
func leakCString(fixed bool) (leaked int, err error) {
	catalog := C.catalog_open()
	if catalog == nil {
		return 0, errNoMemory
	}
	defer C.catalog_close(catalog, 1)
	text := C.CString(query) // leaks
	if fixed {
		defer C.free(unsafe.Pointer(text))
	} else {
		leaked = queryBytes
	}
	C.catalog_count(catalog, text)
	return leaked, nil
}

// leakInLibrary does all that its C library asks for, which forgets its nodes, unless fixed.
func leakInLibrary(fixed bool) (leaked int, err error) {
	catalog := C.catalog_open() // of the library's blocks, some will never be freed
	if catalog == nil {
		return 0, errNoMemory
	}
	C.catalog_close(catalog, truth(fixed))
	if fixed {
		return 0, nil
	}
	return catalogBytes, nil
}

// leakInThread has a C library work in a thread of its own, which forgets to free, unless fixed.
func leakInThread(fixed bool) (leaked int, err error) {
	if code := C.prices_refresh(truth(fixed)); code != 0 {
		return 0, fmt.Errorf("prices_refresh: %w", syscall.Errno(code))
	}
	if fixed {
		return 0, nil
	}
	return pricesBytes, nil
}

// workProperly allocates as much as the others together, and frees all of it.
func workProperly(bool) (leaked int, err error) {
	for _, work := range []func(bool) (int, error){leakCString, leakInLibrary, leakInThread} {
		if _, err := work(true); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// truth is a C truth value.
func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
