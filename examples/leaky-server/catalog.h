/* A small C library, as a Go program would wrap it: a catalog with an index of nodes. It leaks on purpose. */
#ifndef CATALOG_H
#define CATALOG_H

#include <stddef.h>

/* Each catalog has so many nodes of so many bytes; primes, so that they are easy to find again in a profile. */
#define CATALOG_NODES 101
#define CATALOG_NODE_BYTES 2003

struct catalog;

/* A catalog of CATALOG_NODES nodes; NULL when memory is short. Give it back with catalog_close. */
struct catalog *catalog_open(void);

/* The number of nodes whose key begins with the first letter of `query`. */
size_t catalog_count(const struct catalog *catalog, const char *query);

/* Frees the catalog. The library's bug: unless `free_nodes` is set, the nodes stay behind. */
void catalog_close(struct catalog *catalog, int free_nodes);

#endif
