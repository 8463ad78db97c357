/* malloc is no cancellation point, not even when it has something to warn of (an unknown word in CGOHEAP): a thread that is to
   be cancelled gets its memory first. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <stdlib.h>

static void *volatile block;

static void *body(void *unused) {
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL) == 0);
    CHECK(pthread_cancel(pthread_self()) == 0);
    CHECK(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL) == 0);
    block = cgoheap_malloc((size_t)1 << 21); /* more than an interval: reads the environment */
    pthread_testcancel();
    return unused;
}

int main(void) {
    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, body, NULL) == 0 && pthread_join(thread, &result) == 0);
    CHECK(block != NULL, "cancelled inside malloc");
    CHECK(result == PTHREAD_CANCELED);
    cgoheap_free(block);
    CHECK(cgoheap_rate() == 7, "%zu: settings behind the unknown word count", cgoheap_rate());
}
