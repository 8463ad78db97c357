#include <stdlib.h>

void *link_leak(size_t size) { return malloc(size); }
