/* moved A.so B.so: both are opened, used and closed again and again, and the loader never finds a place free where one was before. Each is one
   object nevertheless, so that what it does is one stack; and the last two are open while the profile is made. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TIMES = 20, PAGE = 4096 };
static const char *seen[2 * TIMES];

NOINLINE static void allocate(void *(*plugin)(size_t), size_t size) {
    plugin(size);
    __asm__ volatile("");
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    cgoheap_set_rate(1);
    for (int i = 0; i < 2 * TIMES; i++) {
        void *library = dlopen(argv[1 + i % 2], RTLD_NOW | RTLD_LOCAL);
        CHECK(library, "%s", dlerror());
        void *(*plugin)(size_t);
        void *symbol = dlsym(library, "plugin");
        memcpy(&plugin, &symbol, sizeof symbol);
        Dl_info info;
        CHECK(dladdr(symbol, &info));
        seen[i] = info.dli_fbase;
        for (int j = 0; j < i; j++) CHECK(seen[j] != seen[i], "twice at %p: this test shows nothing", seen[i]);
        __asm__ volatile("" : "+r"(i)); /* no round is compiled apart, which had another stack */
        allocate(plugin, 500 + 100 * (size_t)(i % 2));
        if (i >= 2 * TIMES - 2) continue;
        dlclose(library);
        CHECK(mmap((void *)seen[i], PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == seen[i]);
    }
    struct check_profile *profile = check_profile();
    for (int i = 0; i < 2; i++) {
        const struct check_stack *stack = check_stack_of(profile, TIMES * (500 + 100 * i));
        CHECK(stack->inuse_objects == TIMES);
        CHECK_LINE(stack, 0, i ? "omega" : "alpha", "plugin.c", 0);
        CHECK_LINE(stack, 1, "plugin", "plugin.c", 0);
        CHECK_LINE(stack, 2, "allocate", "moved.c", 0);
        CHECK_LINE(stack, 3, "main", "moved.c", 0);
    }
    CHECK_NOTHING_LOST();
}
