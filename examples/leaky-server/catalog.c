/*
 * Nothing in this file knows of cgoheap: `#cgo CFLAGS: -include cgoheap.h` in leaks.go reaches all C files of the package.
 *
 * The leak is three calls deep: catalog_open -> index_build -> node_new.
 */
#include "catalog.h"

#include <stdlib.h>

struct node {
    struct node *next;
    char key;
    char text[]; /* up to CATALOG_NODE_BYTES in all */
};

struct catalog {
    struct node *index;
};

static struct node *node_new(char key, struct node *next) {
    struct node *node = malloc(CATALOG_NODE_BYTES); /* leaks */
    if (node != NULL) {
        node->next = next;
        node->key = key;
        node->text[0] = '\0';
    }
    return node;
}

static void index_free(struct node *index) {
    while (index != NULL) {
        struct node *next = index->next;
        free(index);
        index = next;
    }
}

static struct node *index_build(size_t nodes) {
    struct node *index = NULL;
    for (size_t i = 0; i < nodes; i++) {
        struct node *node = node_new((char)('a' + i % 26), index);
        if (node == NULL) {
            index_free(index);
            return NULL;
        }
        index = node;
    }
    return index;
}

struct catalog *catalog_open(void) {
    struct catalog *catalog = calloc(1, sizeof *catalog);
    if (catalog == NULL) {
        return NULL;
    }
    catalog->index = index_build(CATALOG_NODES);
    if (catalog->index == NULL) {
        free(catalog);
        return NULL;
    }
    return catalog;
}

size_t catalog_count(const struct catalog *catalog, const char *query) {
    size_t count = 0;
    for (const struct node *node = catalog->index; node != NULL; node = node->next) {
        count += node->key == query[0];
    }
    return count;
}

void catalog_close(struct catalog *catalog, int free_nodes) {
    if (catalog == NULL) {
        return;
    }
    if (free_nodes) {
        index_free(catalog->index);
    }
    free(catalog);
}
