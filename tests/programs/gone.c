/* gone LIBRARY OTHER EXPORTED: the library is open when another file takes its name. The functions that it exports have names, out of its
   memory; others have none, and nothing has one of the other file. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    CHECK(argc == 4);
    cgoheap_set_rate(1);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library, "%s", dlerror());
    void *(*plugin)(size_t);
    void *symbol = dlsym(library, "plugin");
    memcpy(&plugin, &symbol, sizeof symbol);
    plugin(500);
    CHECK(rename(argv[2], argv[1]) == 0);
    struct check_profile *profile = check_profile();
    const struct check_stack *stack = check_stack_of(profile, 500);
    int exported = atoi(argv[3]);
    CHECK(strcmp(stack->lines[0].function, exported ? "alpha" : "") == 0, "%s", profile->text);
    CHECK(strcmp(stack->lines[1].function, "plugin") == 0, "%s", profile->text);
    CHECK(!*stack->lines[0].place && !*stack->lines[1].place, "%s", profile->text);
    CHECK_LINE(stack, 2, "main", "gone.c", 0);
    CHECK_NOTHING_LOST();
}
