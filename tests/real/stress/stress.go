// Package stress is C and Go threads that allocate, move and free each other's blocks.
package stress

/*
#cgo LDFLAGS: -ldl -lpthread
#include <stdlib.h>
#include "stress.h"
*/
import "C"
import "unsafe"

func churn(seed uint32, rounds int) { C.stress_churn(C.uint(seed), C.int(rounds)) }
func threads(threads, rounds int)   { C.stress_threads(C.int(threads), C.int(rounds)) }
func stop()                         { C.stress_stop() }
func freeAll()                      { C.stress_free_all() }
func bad() int                      { return int(C.stress_bad()) }

func live() (objects, bytes int64) {
	var o, b C.long
	C.stress_live(&o, &b)
	return int64(o), int64(b)
}

func library(file string, times int) int {
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	return int(C.stress_library(name, C.int(times)))
}
