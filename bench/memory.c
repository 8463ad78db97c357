/* memory SIZE BYTES: keeps BYTES live in blocks of SIZE, and prints the resident memory of the process and what cgoheap, where
   it is linked, has mapped for itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef CAPTURE
#include "cgoheap.h"
#endif

static long long resident(void) {
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = atoll(line + 6);
    if (file != NULL)
        fclose(file);
    return kib << 10;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    size_t size = strtoul(argv[1], NULL, 10), bytes = strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < bytes / size; i++) {
        char *volatile block = malloc(size);
        if (block == NULL)
            return 1;
        memset(block, 1, size);
    }
    unsigned long long own = 0, samples = 0;
#ifdef CAPTURE
    struct cgoheap_stats stats;
    cgoheap_read_stats(&stats, sizeof stats);
    own = stats.own_bytes;
    samples = stats.live_samples;
#endif
    printf("{\"resident_bytes\": %lld, \"own_bytes\": %llu, \"live_samples\": %llu}\n", resident(), own, samples);
    return 0;
}
