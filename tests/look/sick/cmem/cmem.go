// Package cmem holds C memory in ways that Go can't.
package cmem

/*
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

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

// Threads that allocate and free in arenas of their own, map and unmap, and come and go themselves.
static void *nothing(void *x) {
	volatile char deep[100000];
	for (size_t i = 0; i < sizeof deep; i += 1000) deep[i] = 1;
	return x;
}
static void *churn(void *seed) {
	enum { SLOTS = 3000 };
	static __thread char *slot[SLOTS];
	unsigned r = (unsigned)(size_t)seed;
	char *volatile mapped = NULL;
	size_t length = 0;
	for (unsigned n = 0;; n++) {
		r = r * 1664525 + 1013904223;
		unsigned i = (r >> 8) % SLOTS;
		free(slot[i]);
		// In turns many blocks and few, so that arenas grow and shrink; some are large enough for a mapping of their own.
		size_t size = (n >> 15) % 4 == 3 ? 1 : 100 + (r >> 12) % 20000;
		if (n % 5000 == 0) size = 300000 + r % 1000000;
		slot[i] = malloc(size);
		if (slot[i]) memset(slot[i], 1, size);
		if (n % 7000 == 0) {
			if (mapped) munmap(mapped, length);
			length = 4096 * (1 + r % 500);
			mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			if (mapped == MAP_FAILED) abort();
			memset(mapped, 1, length / 2);
		}
		if (n % 9000 == 0) {
			pthread_t t;
			if (pthread_create(&t, NULL, nothing, NULL) == 0) pthread_detach(t);
		}
		if (n % 500 == 0) {
			struct timespec pause = {0, 1000000};
			nanosleep(&pause, NULL);
		}
	}
	return NULL;
}
static int start_churn(int n) {
	for (int i = 0; i < n; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, churn, (void *)(size_t)(i + 1)) != 0) return -1;
	}
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

// Churn starts threads that allocate, free, map, unmap and start threads for as long as the process lives. What they map past
// malloc is at most 2 MiB a thread.
func Churn(threads int) bool { return C.start_churn(C.int(threads)) == 0 }
