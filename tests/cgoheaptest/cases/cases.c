#include "cases.h"

#include <ctype.h>
#include <string.h>

/* volatile: a compiler may leave out an allocation that is freed at once. */
static void *(*volatile allocate)(size_t) = malloc;

__attribute__((noinline)) void *cases_buffer(size_t size) {
    return malloc(size);
}

char *cases_upper(const char *text) {
    char *upper = strdup(text);
    for (char *c = upper; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
    return upper;
}

void cases_churn(long blocks, long forget) {
    for (long i = 0; i < blocks; i++) {
        void *block = allocate(1);
        if (i != forget)
            free(block);
    }
}

void cases_balanced(long blocks, size_t size) {
    for (long i = 0; i < blocks; i++)
        free(allocate(size));
}
