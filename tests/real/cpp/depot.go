// Package cpp is a C++ library with templates, exceptions and threads.
package cpp

/*
#cgo CXXFLAGS: -std=c++17
#include "depot.h"
*/
import "C"
import "unsafe"

func build(boxes int) unsafe.Pointer { return C.depot_build(C.int(boxes)) }
func destroy(shelf unsafe.Pointer)   { C.depot_destroy(shelf) }
func fail(times int) int             { return int(C.depot_fail(C.int(times))) }
func threads(threads, n, keep int)   { C.depot_threads(C.int(threads), C.int(n), C.int(keep)) }
func freeThreads()                   { C.depot_threads_free() }
func forms()                         { C.depot_forms() }
func freeForms()                     { C.depot_forms_free() }
