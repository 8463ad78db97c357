/*
 * A C program without Go that writes its own heap profile. From the repository's root, after make build:
 *
 *     gcc -g -Iinclude -include cgoheap.h examples/c-program/main.c go/internal/lib/linux_amd64/libcgoheap.a -lm -o /tmp/c-program
 *     /tmp/c-program /tmp/c.pb.gz && go tool pprof -top /tmp/c.pb.gz
 *
 * Look for list_push: it holds 1,000 nodes and their names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *next;
    char *name;
};

static struct node *list_push(struct node *list, const char *name) {
    struct node *node = malloc(sizeof *node);
    if (node == NULL)
        return list;
    node->next = list;
    node->name = strdup(name);
    return node;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: c-program PROFILE\n");
        return 2;
    }
    cgoheap_set_rate(1); /* every allocation; in production leave it at 512 KiB */
    struct node *list = NULL;
    for (int i = 0; i < 1000; i++)
        list = list_push(list, "a name of 32 bytes with its zero");
    free(malloc(1000000)); /* not in use any more */
    int result = cgoheap_write_profile(arguments[1]);
    if (result != CGOHEAP_OK) {
        fprintf(stderr, "%s: %s\n", arguments[1], cgoheap_result_text(result));
        return 1;
    }
    printf("%s\n", list->name);
    return 0;
}
