/*
 * asprintf and vasprintf: variadic functions, which Rust can't define. The C library's function formats and allocates,
 * under the guard, so that a hook of the malloc that it calls doesn't count the same block too; then the block is recorded.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "caller.h"

uint64_t cgoheap_internal_guard(void);
void cgoheap_internal_unguard(uint64_t countdown);
void cgoheap_internal_adopt(void *block, size_t size, const struct registers *caller, const char *file, int line,
                            const char *function);

static int format(const struct registers *caller, const char *file, int line, const char *function, char **out,
                  const char *text, va_list arguments) {
    uint64_t countdown = cgoheap_internal_guard();
    int length = vasprintf(out, text, arguments);
    cgoheap_internal_unguard(countdown);
    if (length >= 0)
        cgoheap_internal_adopt(*out, (size_t)length + 1, caller, file, line, function);
    return length;
}

int cgoheap_vasprintf_at(const char *file, int line, const char *function, char **out, const char *text,
                         va_list arguments) {
    const struct registers caller = CALLER();
    return format(&caller, file, line, function, out, text, arguments);
}

int cgoheap_vasprintf(char **out, const char *text, va_list arguments) {
    const struct registers caller = CALLER();
    return format(&caller, NULL, 0, NULL, out, text, arguments);
}

int cgoheap_asprintf_at(const char *file, int line, const char *function, char **out, const char *text, ...) {
    const struct registers caller = CALLER();
    va_list arguments;
    va_start(arguments, text);
    int length = format(&caller, file, line, function, out, text, arguments);
    va_end(arguments);
    return length;
}

int cgoheap_asprintf(char **out, const char *text, ...) {
    const struct registers caller = CALLER();
    va_list arguments;
    va_start(arguments, text);
    int length = format(&caller, NULL, 0, NULL, out, text, arguments);
    va_end(arguments);
    return length;
}
