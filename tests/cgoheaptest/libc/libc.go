// Package libc calls functions of libc that allocate once and keep what they allocate.
package libc

// #include "libc.h"
import "C"

// Threads starts n threads in C, one after the other, and waits for each.
func Threads(n int) { C.libc_threads(C.int(n)) }

// Once calls them all.
func Once() { C.libc_once() }

// Forget leaks one block in each of several ways that libc has, and returns their number.
func Forget() int { return int(C.libc_forget()) }
