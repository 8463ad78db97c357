//go:build linux && amd64 && cgo

package cgoheaptest

/*
#include <time.h>

// libc reads the time zone once, at the first use of local time, and keeps it. In a libc without symbols those blocks
// can't be known by name, so they are allocated here, before the baseline.
static void cgoheaptest_warm_up(void) { tzset(); }
#cgo noescape cgoheaptest_warm_up
#cgo nocallback cgoheaptest_warm_up
*/
import "C"

const supported = true

func warmUp() { C.cgoheaptest_warm_up() }
