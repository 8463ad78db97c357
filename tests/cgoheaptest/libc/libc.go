// Package libc calls functions of libc, some that keep what they allocate and some that hand it out.
package libc

/*
#cgo CFLAGS: -w
#include "calls.h"

static const struct call *keep(int i) { return &keeps[i]; }
static const struct call *hand_out(int i) { return &hands_out[i]; }
static void run(const struct call *c) { c->run(); }
*/
import "C"

// Call is a function that calls one or some of libc's.
type Call struct{ c *C.struct_call }

// Name tells which.
func (c Call) Name() string { return C.GoString(c.c.name) }

// Run calls them.
func (c Call) Run() { C.run(c.c) }

// Keeps returns calls that leave nothing to give back.
func Keeps() (calls []Call) {
	for i := range C.n_keeps {
		calls = append(calls, Call{C.keep(i)})
	}
	return calls
}

// HandsOut returns calls that each forget what they were given.
func HandsOut() (calls []Call) {
	for i := range C.n_hands_out {
		calls = append(calls, Call{C.hand_out(i)})
	}
	return calls
}

// Threads starts n threads in C, one after the other, and waits for each.
func Threads(n int) { C.libc_threads(C.int(n)) }
