#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#if defined(__USE_GNU) || defined(__USE_MISC) || !defined(__USE_XOPEN2K8)
#error "not the feature macros of this file"
#endif
#ifndef __USE_FILE_OFFSET64
#error "_FILE_OFFSET_BITS came too late"
#endif

typedef char off_t_is_64_bits[sizeof(off_t) == 8 ? 1 : -1];

char *copied(const char *text);
char *copied(const char *text) { return strdup(text); }
long seconds(void);
long seconds(void) {
    struct timespec now;
    return clock_gettime(CLOCK_MONOTONIC, &now) == 0 ? (long)now.tv_sec : fileno(stdin);
}
