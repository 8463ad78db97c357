// Package fuzz is a user's package with a parser in C, and fuzz targets for it, whose speed scripts/bench-fuzz.sh compares.
package fuzz

/*
#include <stdlib.h>
#include <string.h>

// parse counts how deep brackets are left open.
static int parse(const char *input, size_t n) {
	char *copy = malloc(n + 1);
	if (!copy) return -1;
	memcpy(copy, input, n);
	copy[n] = 0;
	int depth = 0;
	for (size_t i = 0; i < n; i++) {
		if (copy[i] == '<') depth++;
		if (copy[i] == '>') depth--;
	}
	free(copy);
	return depth;
}
*/
import "C"

import "unsafe"

func parse(input []byte) int {
	return int(C.parse((*C.char)(unsafe.Pointer(unsafe.SliceData(input))), C.size_t(len(input))))
}
