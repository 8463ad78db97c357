/* memalign_errno: what posix_memalign and its relatives leave in errno, printed: with cgoheap for the whole process, as without. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void show(const char *name, size_t alignment, size_t size) {
    void *block = NULL;
    errno = 7777;
    int result = posix_memalign(&block, alignment, size);
    int error = errno;
    printf("%s: %d, errno %d", name, result, error);
    if (result == 0) free(block);
    errno = 7777;
    block = aligned_alloc(alignment, size);
    error = errno;
    printf("; aligned_alloc: %s, errno %d\n", block == NULL ? "null" : "memory", error);
    free(block);
}

int main(void) {
    struct rlimit limit = {(rlim_t)200 << 20, (rlim_t)200 << 20};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    volatile size_t size = 100, largest = SIZE_MAX, half = (size_t)1 << 63, huge = (size_t)1 << 30;
    show("fits", 128, size);
    show("no memory", 128, huge);
    show("too large", 128, half);
    show("larger still", 128, largest);
    show("no power of two", 24, size);
    show("alignment too large", half, size);
    show("small alignment", 4, size);
}
