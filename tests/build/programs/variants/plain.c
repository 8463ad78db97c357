/* Without the header, whatever the other files do. */
#include <stdlib.h>

void plain_free(void *block) { free(block); }
void *plain_realloc(void *block, size_t size) { return realloc(block, size); }
void *plain_malloc(size_t size) { return malloc(size); }
