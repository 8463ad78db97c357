/* The thread is C's own: no Go function is on its stack, so the profile shows the way from the thread's start. */
#include "prices.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static char *prices_fetch(void) {
    char *list = malloc(PRICES_LIST_BYTES); /* leaks */
    if (list != NULL) {
        list[0] = '\0';
    }
    return list;
}

static void *prices_thread(void *free_list) {
    char *list = prices_fetch();
    if (list == NULL) {
        return free_list; /* anything but NULL is a failure */
    }
    if (*(int *)free_list) {
        free(list);
    }
    return NULL;
}

int prices_refresh(int free_list) {
    pthread_t thread;
    void *failed;
    int error = pthread_create(&thread, NULL, prices_thread, &free_list);
    if (error != 0) {
        return error;
    }
    error = pthread_join(thread, &failed);
    if (error != 0) {
        return error;
    }
    return failed != NULL ? ENOMEM : 0;
}
