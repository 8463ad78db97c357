//go:build header

package main

// Code that includes the header, in the same program.

/*
#cgo CFLAGS: -I${SRCDIR}/../../../../include
#include <cgoheap.h>
#include <stdlib.h>

void *volatile header_sink;

static void header_leak(int n, int size) {
    for (int i = 0; i < n; i++)
        header_sink = malloc(size);
}

// Allocated here, freed and moved by code that doesn't know the header; and the other way round.
extern void plain_free(void *);
extern void *plain_realloc(void *, size_t);
extern void *plain_malloc(size_t);
static void header_mix(int n, int size) {
    for (int i = 0; i < n; i++) {
        plain_free(malloc(size));
        free(plain_malloc(size));
        free(plain_realloc(malloc(10), size));
        plain_free(realloc(plain_malloc(10), size));
        free(strdup("mixed"));
    }
}
*/
import "C"

func init() {
	leaks = append(leaks,
		leak{"header", 3, 7001, leakHeader, []string{"header_leak", "C.header_leak", "main.leakHeader"}},
		leak{"mixed", 0, 7103, mixed, nil})
}

//go:noinline
func leakHeader(n, size int) { C.header_leak(C.int(n), C.int(size)) }

//go:noinline
func mixed(_, size int) { C.header_mix(50, C.int(size)) }
