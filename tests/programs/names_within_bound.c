/* names_within_bound LIBRARY PROFILE BOUND: the library's debug information needs more memory than CGOHEAP=own= leaves for control code, if
   BOUND is 1. Then its function has its name and no line, the profile says so, and others have all. Without a bound it has its line too. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 16 << 20 };
static volatile int done;

static void *look(void *unused) {
    (void)unused;
    while (!done) {
        unsigned long long bytes = check_stats().own_bytes;
        CHECK(bytes <= LIMIT, "%llu bytes", bytes);
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    int bound = atoi(argv[3]);
    cgoheap_set_rate(1);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library, "%s", dlerror());
    void *(*plugin)(size_t);
    void *symbol = dlsym(library, "plugin");
    memcpy(&plugin, &symbol, sizeof symbol);
    pthread_t looking;
    CHECK(!bound || pthread_create(&looking, NULL, look, NULL) == 0);
    plugin(500);
    /* Again and again: what didn't fit once isn't known as nameless. */
    for (int round = 0; round < 3; round++) {
        struct check_profile *profile = check_profile();
        const struct check_stack *stack = check_stack_of(profile, 500);
        CHECK(strcmp(stack->lines[0].function, "leaf") == 0, "%s", profile->text);
        CHECK(strcmp(stack->lines[1].function, "plugin") == 0, "%s", profile->text);
        CHECK((*stack->lines[0].place == 0) == bound && (*stack->lines[1].place == 0) == bound, "%s", profile->text);
        CHECK_LINE(stack, 2, "main", "names_within_bound.c", 0);
        const char *said = strstr(profile->text, "# objects without lines, or without names: no memory for their debug information, or damage in it = ");
        CHECK((said != NULL) == bound, "%s", profile->text);
        CHECK(cgoheap_write_profile(argv[2]) == CGOHEAP_OK);
    }
    done = 1;
    if (bound) CHECK(pthread_join(looking, NULL) == 0);
    if (!bound) CHECK_NOTHING_LOST();
    return 0;
}
