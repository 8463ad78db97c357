/* dump FOLDER: a program without Go under CGOHEAP=rate=1,dump=FOLDER/p,limit=1MiB. Each of its 4 dumps is there as a whole as
   soon as it can be seen, and so is its child's. */
#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void *blocks[64];
static int n_blocks;

static void grow(int mib) {
    while (mib-- > 0) blocks[n_blocks++] = cgoheap_malloc(1 << 20);
}

/* Waits for the file with this number; in the meantime every file that has a name of a dump is whole, and only its owner's. */
static void wait_for(const char *folder, int number) {
    char begin[32];
    snprintf(begin, sizeof begin, "p.%04d.", number);
    for (int tries = 0; tries < 3000; tries++, usleep(5000)) {
        DIR *dir = opendir(folder);
        CHECK(dir);
        int found = 0;
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (strncmp(entry->d_name, "p.", 2) != 0) continue;
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            struct stat data;
            CHECK(stat(path, &data) == 0 && (data.st_mode & 07777) == 0600, "%s", path);
            CHECK(data.st_size > 200, "%s has %lld bytes", path, (long long)data.st_size);
            unsigned char magic[2];
            int file = open(path, O_RDONLY);
            CHECK(read(file, magic, 2) == 2 && magic[0] == 0x1f && magic[1] == 0x8b, "%s", path);
            close(file);
            found |= strncmp(entry->d_name, begin, strlen(begin)) == 0;
        }
        closedir(dir);
        if (found) return;
    }
    CHECK(0, "no dump number %d", number);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK(cgoheap_dump_start() == CGOHEAP_OK);
    CHECK(cgoheap_dump_start() == CGOHEAP_ERR_ARGUMENT);
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGTERM));
    grow(1);
    wait_for(argv[1], 1); /* the limit: 1 MiB */
    grow(1);
    wait_for(argv[1], 2); /* 2, over 1.25 */
    grow(1);
    wait_for(argv[1], 3); /* 3, over 2.5 */
    grow(1);
    wait_for(argv[1], 4); /* 4, over 3.75 */
    /* The child has no such thread, and may have its own, whatever the parent's is at. */
    pid_t child = fork();
    if (child == 0) {
        CHECK(cgoheap_dump_start() == CGOHEAP_OK);
        grow(1);
        wait_for(argv[1], 5); /* 5, not below 1.25 * 4 */
        usleep(100000); /* its thread says so */
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "%#x", status);
    CHECK(cgoheap_dump_start() == CGOHEAP_ERR_ARGUMENT);
    for (int i = 0; i < n_blocks; i++) cgoheap_free(blocks[i]);
    CHECK_NOTHING_LOST();
}
