/* A shared library that knows nothing of anybody: built stripped and without frame pointers. */
#include <stdlib.h>

void *volatile plugin_sink;

__attribute__((noinline)) static void hidden(int size) {
    plugin_sink = malloc(size);
    __asm__ volatile("" ::: "memory");
}

void plugin_leak(int n, int size) {
    for (int i = 0; i < n; i++)
        hidden(size);
}
