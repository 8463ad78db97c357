//go:build linux && (amd64 || arm64) && cgo

package capi

/*
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long cgoheap_now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void cgoheap_sleep(long long nanos) {
	struct timespec left = {nanos / 1000000000, nanos % 1000000000};
	while (nanosleep(&left, &left) != 0 && errno == EINTR) {
	}
}

static void cgoheap_tzset(void) { tzset(); }

static void cgoheap_set_environment(void) {
	setenv("CGOHEAPTEST_LEARNS", "where setenv allocates", 1);
	unsetenv("CGOHEAPTEST_LEARNS");
}

static struct {
	FILE *file, *descriptor, *memory, *stream;
	char *text[2], *line, *word, *path, *folder, *stream_text;
	size_t stream_size;
	DIR *directory;
	struct dirent **entries;
	int n_entries;
} cgoheap_handed_out;

__attribute__((noinline)) static char *cgoheap_format(const char *format, ...) {
	va_list arguments;
	char *text;
	va_start(arguments, format);
	int length = vasprintf(&text, format, arguments);
	va_end(arguments);
	return length < 0 ? NULL : text;
}

static void cgoheap_hand_out(void) {
	static char room[8];
	size_t size = 0;
	cgoheap_handed_out.file = fopen("/", "r"); // getline allocates before it finds that a folder has no lines
	if (cgoheap_handed_out.file != NULL && getline(&cgoheap_handed_out.line, &size, cgoheap_handed_out.file) < 0)
		size = 0;
	int fd = open("/", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && (cgoheap_handed_out.descriptor = fdopen(fd, "r")) == NULL)
		close(fd);
	cgoheap_handed_out.memory = fmemopen(room, sizeof room, "r");
	cgoheap_handed_out.stream = open_memstream(&cgoheap_handed_out.stream_text, &cgoheap_handed_out.stream_size);
	cgoheap_handed_out.text[0] = cgoheap_format("%d", 1); // by another call of malloc than a long one
	cgoheap_handed_out.text[1] = cgoheap_format("%1000d", 1);
	if (sscanf("word", "%ms", &cgoheap_handed_out.word) != 1)
		cgoheap_handed_out.word = NULL;
	cgoheap_handed_out.path = realpath("/", NULL);
	cgoheap_handed_out.folder = getcwd(NULL, 0);
	cgoheap_handed_out.directory = opendir("/");
	cgoheap_handed_out.n_entries = scandir("/", &cgoheap_handed_out.entries, NULL, NULL);
}

static void cgoheap_take_back(void) {
	FILE *const files[] = {cgoheap_handed_out.file, cgoheap_handed_out.descriptor, cgoheap_handed_out.memory,
		cgoheap_handed_out.stream};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (files[i] != NULL)
			fclose(files[i]);
	free(cgoheap_handed_out.text[0]);
	free(cgoheap_handed_out.text[1]);
	free(cgoheap_handed_out.line);
	free(cgoheap_handed_out.word);
	free(cgoheap_handed_out.path);
	free(cgoheap_handed_out.folder);
	free(cgoheap_handed_out.stream_text);
	if (cgoheap_handed_out.directory != NULL)
		closedir(cgoheap_handed_out.directory);
	for (int i = 0; i < cgoheap_handed_out.n_entries; i++)
		free(cgoheap_handed_out.entries[i]);
	free(cgoheap_handed_out.entries);
}

#cgo noescape cgoheap_hand_out
#cgo nocallback cgoheap_hand_out
#cgo noescape cgoheap_take_back
#cgo nocallback cgoheap_take_back
#cgo noescape cgoheap_now
#cgo nocallback cgoheap_now
#cgo noescape cgoheap_sleep
#cgo nocallback cgoheap_sleep
#cgo noescape cgoheap_tzset
#cgo nocallback cgoheap_tzset
#cgo noescape cgoheap_set_environment
#cgo nocallback cgoheap_set_environment
*/
import "C"

import "time"

// Sleep pauses for a time that passes on every clock. In a bubble of testing/synctest, package time's clock jumps ahead and
// nothing outside of the bubble, such as finalizers, has had any time: there the rest is slept in C.
func Sleep(d time.Duration) {
	start := C.cgoheap_now()
	time.Sleep(d)
	if rest := C.longlong(d) - (C.cgoheap_now() - start); rest > 0 {
		C.cgoheap_sleep(rest)
	}
}

// SleepOutside pauses in the time of the world outside of a synctest bubble, whose own clock stands still meanwhile. It holds
// a thread.
func SleepOutside(d time.Duration) {
	C.cgoheap_sleep(C.longlong(d))
}

// Monotonic is a time that goes on evenly outside of a synctest bubble, from an arbitrary start.
func Monotonic() time.Duration {
	return time.Duration(C.cgoheap_now())
}

// ReadTimeZone has libc read the time zone, which it does once, at the first use of local time, and keeps.
func ReadTimeZone() {
	C.cgoheap_tzset()
}

// SetEnvironment sets a variable of C's environment and removes it, so that the stacks of its blocks, which libc keeps, can be
// looked at: this function is on them.
//
//go:noinline
func SetEnvironment() {
	C.cgoheap_set_environment()
}

// HandOut calls functions of libc that hand out memory, each of them once, so that the stacks of their blocks can be looked at:
// this function is on them. free gives all back. To be called once.
//
//go:noinline
func HandOut() (free func()) {
	C.cgoheap_hand_out()
	return func() { C.cgoheap_take_back() }
}
