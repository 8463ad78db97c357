/* Pairs of malloc and free, and of realloc and free, for counting instructions: the cost of N pairs is the difference of
   two runs. Compiled three ways by scripts/test-instructions.sh. */
#include <stdlib.h>
#include <string.h>

#ifdef HEADER
#include "cgoheap.h"
#endif

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    long pairs = atol(argv[2]);
    if (strcmp(argv[1], "malloc") == 0) {
        for (long i = 0; i < pairs; i++) {
            void *volatile block = malloc(64);
            free(block);
        }
    } else if (strcmp(argv[1], "calloc") == 0) {
        for (long i = 0; i < pairs; i++) {
            void *volatile block = calloc(4, 16);
            free(block);
        }
    } else if (strcmp(argv[1], "realloc") == 0) {
        void *volatile block = malloc(64);
        for (long i = 0; i < pairs; i++)
            block = realloc(block, 64);
        free(block);
    } else {
        return 2;
    }
    return 0;
}
