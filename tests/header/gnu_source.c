#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <time.h>
#ifndef __USE_GNU
#error "_GNU_SOURCE came too late"
#endif

/* Without their declarations these would be calls of undeclared functions, their results cut to int. */
const char *found(const char *in, size_t n);
const char *found(const char *in, size_t n) { return (const char *)memmem(in, n, "needle", 6); }
const char *parsed(const char *in, struct tm *out);
const char *parsed(const char *in, struct tm *out) { return strptime(in, "%Y", out); }
int processor(void);
int processor(void) { return sched_getcpu(); }
