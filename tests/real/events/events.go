// Package events does to the process, its threads and its stacks what C programs do.
package events

/*
#cgo LDFLAGS: -ldl -lpthread
#include <stdlib.h>
#include "events.h"
*/
import "C"
import "unsafe"

func fork(children int) int          { return int(C.events_fork(C.int(children))) }
func forkUnderLoad(children int) int { return int(C.events_fork_under_load(C.int(children))) }
func vfork(children int) int         { return int(C.events_vfork(C.int(children))) }
func destructors(threads int) int    { return int(C.events_destructors(C.int(threads))) }
func signals(times, size int) int    { return int(C.events_signals(C.int(times), C.int(size))) }
func signalsNear(times, size, above int) int {
	return int(C.events_signals_near(C.int(times), C.int(size), C.int(above)))
}
func recurse(depth, n, size int) { C.events_recurse(C.int(depth), C.int(n), C.int(size)) }
func jit(n, size int) int        { return int(C.events_jit(C.int(n), C.int(size))) }
func assembly(n, size int) int   { return int(C.events_assembly(C.int(n), C.int(size))) }
func noMemory(times int) int     { return int(C.events_no_memory(C.int(times))) }
func coroutine(n, size int) int  { return int(C.events_coroutine(C.int(n), C.int(size))) }
func cloneThread(times int) int  { return int(C.events_clone_thread(C.int(times))) }

func hoard(room int) int { return int(C.events_hoard(C.long(room))) }

func openAndClose(file string, times int) int {
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	return int(C.events_dlopen(name, C.int(times)))
}

func openLibrary(file string) unsafe.Pointer {
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	return C.events_open(name)
}

func callLibrary(library unsafe.Pointer, n, size int) int {
	return int(C.events_call(library, C.int(n), C.int(size)))
}

func closeLibrary(library unsafe.Pointer) int { return int(C.events_close(library)) }
