/* odd_tables LIBRARY: a block allocated in the library, where its unwind tables are not where a linker puts them. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dlfcn.h>
#include <string.h>

static NOINLINE void *through(void *(*plugin)(size_t), size_t size) {
    void *block = plugin(size);
    __asm__ volatile("" : "+r"(block));
    return block;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    cgoheap_set_rate(1);
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(library, "%s", dlerror());
    void *(*plugin)(size_t);
    void *symbol = dlsym(library, "plugin");
    memcpy(&plugin, &symbol, sizeof symbol);
    through(plugin, 1009);
    const struct check_stack *stack = check_stack_of(check_profile(), 1009);
    CHECK_LINE(stack, 0, "leaf", "plugin.c", 0);
    CHECK_LINE(stack, 1, "plugin", "plugin.c", 0);
    CHECK_LINE(stack, 2, "through", "odd_tables.c", 0);
    CHECK_LINE(stack, 3, "main", "odd_tables.c", 0);
    struct cgoheap_stats now = check_stats();
    CHECK(now.stacks_no_unwind_info + now.stacks_bad_unwind_info + now.stacks_unreadable == 0);
    CHECK_NOTHING_LOST();
}
