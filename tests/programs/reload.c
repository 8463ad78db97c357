/* reload A.so B.so FOLDER WAY SEEN: A is opened, allocates and is closed; then B is, under the same name and at the same address, as a
   plugin that is made anew while the program runs. Nothing of B may pass for A's: no name, no unwind rule, no stack. WAY is how B takes
   A's place: rename, overwrite (the same file), anew (the old one is deleted first, and its number may be given to the new one), memfd. SEEN: a profile is made while A is there, so that its names are known. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static char path[4096];

static void copy(const char *from, int to) {
    char buffer[1 << 16];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    CHECK(in >= 0 && to >= 0);
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;) CHECK(write(to, buffer, (size_t)n) == n);
    close(in);
}

/* Puts a library where `path` leads. */
static void place(const char *library, const char *folder, const char *way) {
    static int memory = -1;
    if (!strcmp(way, "memfd")) {
        int file = memfd_create("plugin", MFD_CLOEXEC);
        copy(library, file);
        if (memory < 0) memory = file;
        else dup2(file, memory), close(file);
        snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
        return;
    }
    char fresh[4200];
    snprintf(path, sizeof path, "%s/plugin.so", folder);
    snprintf(fresh, sizeof fresh, "%s%s", path, strcmp(way, "rename") ? "" : ".new");
    if (!strcmp(way, "anew")) unlink(path);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    copy(library, file);
    close(file);
    CHECK(strcmp(way, "rename") || rename(fresh, path) == 0);
}

NOINLINE static void allocate(void *(*plugin)(size_t), size_t size) {
    plugin(size);
    __asm__ volatile("");
}

int main(int argc, char **argv) {
    CHECK(argc == 6);
    const char *way = argv[4];
    int seen = atoi(argv[5]);
    cgoheap_set_rate(1);
    void *first = NULL;
    for (int i = 0; i < 2; i++) {
        if (i) usleep(30000); /* no compiler is faster, and files' times have ticks */
        place(argv[1 + i], argv[3], way);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(library, "%s", dlerror());
        void *(*plugin)(size_t);
        void *symbol = dlsym(library, "plugin");
        memcpy(&plugin, &symbol, sizeof symbol);
        if (!first) first = symbol;
        CHECK(symbol == first, "at %p and %p: this test shows nothing", symbol, first);
        allocate(plugin, 500 + 100 * (size_t)i);
        if (i == 0 && !seen) {
            dlclose(library);
            continue;
        }
        struct check_profile *profile = check_profile();
        for (int j = 0; j <= i; j++) {
            const struct check_stack *stack = check_stack_of(profile, 500 + 100 * j);
            const char *own = j ? "omega" : "alpha";
            if (j == i || seen) {
                CHECK_LINE(stack, 0, own, "plugin.c", 0);
                CHECK_LINE(stack, 1, "plugin", "plugin.c", 0);
                CHECK_LINE(stack, 2, "allocate", "reload.c", 0);
            } else {
                for (size_t k = 0; k < stack->n_lines; k++)
                    CHECK(strcmp(stack->lines[k].function, "omega") && strcmp(stack->lines[k].function, "plugin"), "%s", profile->text);
            }
            /* Unwound by its own rules: both end in main's caller. */
            size_t main_at = 0;
            while (main_at < stack->n_lines && strcmp(stack->lines[main_at].function, "main")) main_at++;
            CHECK(main_at < stack->n_lines, "%s", profile->text);
        }
        if (i == 0) dlclose(library);
    }
    CHECK_NOTHING_LOST();
}
