// Package cmem holds C memory in ways that Go can't.
package cmem

/*
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct node { struct node *next; char data[1000]; };

// What a cache does that was full once: many small blocks, of which few stay, on every page or so.
static struct node *keep;
static struct node *fill(int n) {
	struct node *all = NULL;
	for (int i = 0; i < n; i++) {
		struct node *one = malloc(sizeof *one);
		memset(one->data, 'x', sizeof one->data);
		one->next = all;
		all = one;
	}
	return all;
}
static void empty(struct node *all, int keep_every) {
	for (int i = 0; all; i++) {
		struct node *next = all->next;
		if (i % keep_every == keep_every - 1) {
			all->next = keep;
			keep = all;
		} else {
			free(all);
		}
		all = next;
	}
}
static int map_anonymous(size_t n) {
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) return -1;
	memset(p, 'x', n);
	return 0;
}
*/
import "C"

// Blocks is a list of small C blocks.
type Blocks struct{ first *C.struct_node }

// Fill makes n of them.
func Fill(n int) Blocks { return Blocks{C.fill(C.int(n))} }

// Empty frees all but every so-manieth.
func (b Blocks) Empty(keepEvery int) { C.empty(b.first, C.int(keepEvery)) }

// Map maps memory past malloc, and writes to it.
func Map(bytes int) bool { return C.map_anonymous(C.size_t(bytes)) == 0 }
