/* environment RATE: one allocation, and the rate is RATE afterwards; a rate that the program sets wins. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <errno.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    CHECK(argc == 2);
    errno = 7777;
    void *block = cgoheap_malloc(31);
    CHECK(errno == 7777);
    void *other = cgoheap_malloc(37);
    size_t rate = strtoull(argv[1], NULL, 10);
    CHECK(cgoheap_rate() == rate, "%zu", cgoheap_rate());
    struct cgoheap_stats now = check_stats();
    if (rate == 1) CHECK(now.live_objects == 2 && now.live_bytes == 68);
    if (rate == 0) CHECK(now.samples == 0);
    cgoheap_free(block);
    cgoheap_free(other);
    CHECK(cgoheap_set_rate(2) == CGOHEAP_OK && cgoheap_rate() == 2);
    cgoheap_free(cgoheap_malloc(1));
    CHECK(cgoheap_rate() == 2);
}
