// Package stress is C and Go threads that allocate, move and free each other's blocks.
package stress

/*
#cgo LDFLAGS: -ldl -lpthread
#include <stdlib.h>
#include "stress.h"
*/
import "C"
import "unsafe"

// Churn allocates, moves and frees blocks of the table that all threads share: rounds of them, as seed says.
func Churn(seed uint32, rounds int) { C.stress_churn(C.uint(seed), C.int(rounds)) }

// Descend churns beneath a chain of C calls, which is another one for each value of path's depth lowest bits.
func Descend(path uint32, depth int, seed uint32, rounds int) {
	C.stress_descend(C.uint(path), C.int(depth), C.uint(seed), C.int(rounds))
}

// ReplaceLarge replaces large blocks by others of the same sizes, 48 KiB on average: count of them, from the first on. There are
// 4096, which are not in the table.
func ReplaceLarge(first uint32, count int) { C.stress_replace_large(C.uint(first), C.int(count)) }

// Live counts what the table holds. Nobody may churn meanwhile.
func Live() (objects, bytes int64) {
	var o, b C.long
	C.stress_live(&o, &b)
	return int64(o), int64(b)
}

// FreeAll frees what the table holds.
func FreeAll() { C.stress_free_all() }

// Bad is the number of blocks whose content was not what it should have been.
func Bad() int { return int(C.stress_bad()) }

// Library opens a library whose function plugin_run gets stress_churn, calls it and closes the library, so many times. It returns
// 0, or 1 if the library could not be opened or closed.
func Library(file string, times int) int {
	name := C.CString(file)
	defer C.free(unsafe.Pointer(name))
	return int(C.stress_library(name, C.int(times)))
}

// Plugin is the source of such a library.
const Plugin = "void plugin_run(void (*churn)(unsigned, int)) { for (unsigned i = 0; i < 10; i++) churn(i, 20); }\n"

func threads(threads, rounds int) { C.stress_threads(C.int(threads), C.int(rounds)) }
func stop()                       { C.stress_stop() }
