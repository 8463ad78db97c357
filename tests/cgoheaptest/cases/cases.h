#include <stdlib.h>

void *cases_buffer(size_t size);
char *cases_upper(const char *text);
void cases_churn(long blocks, long forget);
void cases_balanced(long blocks, size_t size);
