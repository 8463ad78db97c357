#define _GNU_SOURCE
#define CGOHEAP_NO_REDIRECT
#include "stub.h"
#include "cgoheap.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

struct stub_call stub_last;
int stub_calls;
int stub_failures;

void *stub_keep(void *block) { return block; }

static void note(const char *hook, const char *file, int line, const char *func) {
    struct stub_call call = {hook, file, func, line};
    stub_last = call;
    stub_calls++;
    if (getenv("STUB_TRACE")) fprintf(stderr, "%s %s:%d %s\n", hook, file ? file : "-", line, func ? func : "-");
}

static int same(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

void stub_expect(int here, const char *hook, const char *file, int line, const char *func) {
    if (!same(stub_last.hook, hook) || !same(stub_last.file, file) || stub_last.line != line
        || !same(stub_last.func, func)) {
        printf("line %d: got %s from %s:%d %s, want %s from %s:%d %s\n", here, stub_last.hook, stub_last.file,
               stub_last.line, stub_last.func, hook, file, line, func);
        stub_failures++;
    }
    stub_last.hook = "none since";
}

/* Both forms of one function: parameters and arguments in parentheses. */
#define PLAIN(...) __VA_ARGS__
#define BOTH(type, name, parameters, arguments) \
    type cgoheap_##name(PLAIN parameters) { \
        note(#name, 0, 0, 0); \
        return name arguments; \
    } \
    type cgoheap_##name##_at(PLAIN parameters, const char *file, int line, const char *func) { \
        note(#name "_at", file, line, func); \
        return name arguments; \
    }

BOTH(void *, malloc, (size_t n), (n))
BOTH(void *, calloc, (size_t m, size_t n), (m, n))
BOTH(void *, realloc, (void *p, size_t n), (p, n))
BOTH(void *, reallocarray, (void *p, size_t m, size_t n), (p, m, n))
BOTH(char *, strdup, (const char *s), (s))
BOTH(char *, strndup, (const char *s, size_t n), (s, n))
BOTH(wchar_t *, wcsdup, (const wchar_t *s), (s))
BOTH(int, posix_memalign, (void **out, size_t a, size_t n), (out, a, n))
BOTH(void *, aligned_alloc, (size_t a, size_t n), (a, n))
BOTH(void *, memalign, (size_t a, size_t n), (a, n))
BOTH(void *, valloc, (size_t n), (n))

void cgoheap_free(void *p) {
    note("free", 0, 0, 0);
    free(p);
}

size_t cgoheap_malloc_usable_size(void *p) {
    note("malloc_usable_size", 0, 0, 0);
    return malloc_usable_size(p);
}

int cgoheap_vasprintf(char **out, const char *format, va_list arguments) {
    note("vasprintf", 0, 0, 0);
    return vasprintf(out, format, arguments);
}

int cgoheap_vasprintf_at(const char *file, int line, const char *func, char **out, const char *format,
                         va_list arguments) {
    note("vasprintf_at", file, line, func);
    return vasprintf(out, format, arguments);
}

int cgoheap_asprintf(char **out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    note("asprintf", 0, 0, 0);
    int length = vasprintf(out, format, arguments);
    va_end(arguments);
    return length;
}

int cgoheap_asprintf_at(const char *file, int line, const char *func, char **out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    note("asprintf_at", file, line, func);
    int length = vasprintf(out, format, arguments);
    va_end(arguments);
    return length;
}
