/* libraries A.so B.so known_when_closed: opens the two in turn, at the same address, and allocates in each. No frame of one
   may be named by the other; with build ids, all are named even when both are closed. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static unsigned long long use(const char *file, size_t size) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    CHECK(library, "%s", dlerror());
    void *(*plugin)(size_t);
    void *symbol = dlsym(library, "plugin");
    memcpy(&plugin, &symbol, sizeof symbol);
    plugin(size);
    if (size < 1000) check_profile(); /* names are looked up while it is open, too */
    dlclose(library);
    return (unsigned long long)symbol;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    int known_when_closed = atoi(argv[3]);
    cgoheap_set_rate(1);
    unsigned long long first = 0;
    enum { ROUNDS = 20 };
    for (int i = 0; i < ROUNDS; i++)
        for (int j = 0; j < 2; j++) {
            /* The first round's blocks have sizes of their own. */
            unsigned long long at = use(argv[1 + j], (i == 0 ? 500 : 10000) + 100 * (size_t)j);
            if (!first) first = at;
            CHECK(at == first, "at %#llx and %#llx: this test shows nothing", first, at);
        }

    struct check_profile *profile = check_profile();
    long long seen[2] = {0, 0};
    for (size_t i = 0; i < profile->n; i++) {
        const struct check_stack *stack = &profile->stacks[i];
        /* One stack of each library, all rounds together: the same library is the same each time. */
        CHECK(stack->inuse_objects == ROUNDS, "%s", profile->text);
        int b = stack->inuse_bytes == 600 + (ROUNDS - 1) * 10100;
        CHECK(b || stack->inuse_bytes == 500 + (ROUNDS - 1) * 10000, "%s", profile->text);
        seen[b]++;
        const char *own = b ? "omega" : "alpha", *other = b ? "alpha" : "omega";
        for (size_t j = 0; j < stack->n_lines; j++)
            CHECK(strcmp(stack->lines[j].function, other) != 0, "%s", profile->text);
        if (known_when_closed) CHECK_LINE(stack, 0, own, "plugin.c", 0);
    }
    CHECK(seen[0] == 1 && seen[1] == 1, "%s", profile->text);
    CHECK_NOTHING_LOST();
}
