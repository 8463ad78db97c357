/* 1000 forks while other threads allocate: both sides go on, exactly. Then fork and exec. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int stop;

static void *churn(void *seed) {
    unsigned long long state = (size_t)seed;
    void *blocks[64] = {0};
    while (!atomic_load(&stop)) {
        size_t at = check_random(&state) % 64;
        cgoheap_free(blocks[at]);
        blocks[at] = cgoheap_malloc(1 + check_random(&state) % 2000);
        if (check_random(&state) % 256 == 0) usleep(100); /* leave the processors to the forks, now and then */
    }
    for (int i = 0; i < 64; i++) cgoheap_free(blocks[i]);
    return NULL;
}

/* Sets the rate to what it is, and looks, all the time: control code is in the middle of something at every fork. */
static void *control(void *unused) {
    while (!atomic_load(&stop)) {
        CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
        cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
        CHECK(snapshot);
        cgoheap_snapshot_free(snapshot);
        for (int i = 0; i < 1000; i++) CHECK(cgoheap_set_rate(1) == CGOHEAP_OK);
    }
    return unused;
}

/* In the child no other thread runs: its numbers are exact from the fork on. */
static void in_child(int number) {
    alarm(120);
    struct cgoheap_stats before = check_stats(), now;
    void *blocks[500];
    for (size_t i = 0; i < 500; i++) blocks[i] = cgoheap_malloc(100 + i);
    now = check_stats();
    CHECK(now.live_objects - before.live_objects == 500 - (now.frees_unseen - before.frees_unseen));
    CHECK(now.samples - before.samples == 500);
    for (int i = 0; i < 500; i++) cgoheap_free(blocks[i]);
    CHECK(cgoheap_set_rate(512 * 1024) == CGOHEAP_OK && cgoheap_set_rate(1) == CGOHEAP_OK);
    if (number % 500 == 0) {
        CHECK(strstr(check_profile()->text, "in_child"));
    }
    now = check_stats();
    CHECK(now.live_objects <= before.live_objects);
    CHECK(now.samples_lock_busy == 0 && now.frees_lock_busy == 0 && now.samples_no_memory == 0);
    _exit(0);
}

static int wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

int main(int argc, char **argv) {
    if (argc > 1) { /* what exec starts: from nothing */
        CHECK(check_stats().samples == 0 && cgoheap_rate() == 1);
        return 0;
    }
    cgoheap_set_rate(1);
    pthread_t threads[5];
    for (size_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    CHECK(pthread_create(&threads[4], NULL, control, NULL) == 0);
    for (int i = 0; i < 1000; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) in_child(i);
        void *block = cgoheap_malloc(4001);
        int status = wait_for(child);
        CHECK(status == 0, "child %d: status %#x", i, status);
        cgoheap_free(block);
    }
    setenv("CGOHEAP", "rate=1", 1);
    for (int i = 0; i < 20; i++) {
        pid_t child = i % 2 ? fork() : vfork();
        CHECK(child >= 0);
        if (child == 0) {
            execl("/proc/self/exe", argv[0], "again", (char *)NULL);
            _exit(9);
        }
        CHECK(wait_for(child) == 0);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
    struct cgoheap_stats now = check_stats();
    CHECK(now.live_objects == 0 && now.live_bytes == 0 && now.live_samples == 0);
    CHECK_NOTHING_LOST();
}
