#define _GNU_SOURCE
#include "libc.h"

#include <dlfcn.h>
#include <grp.h>
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

static void *work(void *argument) {
    free(malloc(10));
    return argument;
}

void libc_threads(int n) {
    for (int i = 0; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) == 0)
            pthread_join(thread, NULL);
    }
}

static void at_exit(void) {}

void libc_once(void) {
    FILE *null = fopen("/dev/null", "w"), *was = stdout;
    fprintf(null, "%f %ls\n", 1e300, L"wide");
    fclose(null);
    stdout = was;
    printf("once\n");
    setlocale(LC_ALL, "C.UTF-8");
    setlocale(LC_ALL, "C");
    time_t now = 0;
    struct tm tm;
    localtime(&now);
    localtime_r(&now, &tm);
    mktime(&tm);
    char text[64];
    strftime(text, sizeof text, "%c %Z", &tm);
    struct addrinfo *found;
    if (getaddrinfo("localhost", "80", NULL, &found) == 0)
        freeaddrinfo(found);
    gethostbyname("localhost");
    getpwnam("root");
    getpwuid(0);
    getgrnam("root");
    getservbyname("http", "tcp");
    getprotobyname("tcp");
    iconv_t cd = iconv_open("UTF-16", "ISO-8859-15");
    char from[] = "abc", *in = from, *out = text;
    size_t in_left = 3, out_left = sizeof text;
    iconv(cd, &in, &in_left, &out, &out_left);
    iconv_close(cd);
    void *library = dlopen("libm.so.6", RTLD_NOW);
    dlclose(library);
    dlopen("libstdc++.so.6", RTLD_NOW);
    dlopen("no-such-library.so", RTLD_NOW);
    dlerror();
    strerror(9999);
    strsignal(99);
    bindtextdomain("domain", "/tmp");
    textdomain("domain");
    gettext("text");
    char *line = NULL;
    size_t size = 0;
    FILE *hosts = fopen("/etc/hosts", "r");
    if (hosts != NULL) {
        getline(&line, &size, hosts);
        free(line);
        fclose(hosts);
    }
    FILE *command = popen("true", "r");
    pclose(command);
    for (int i = 0; i < 40; i++)
        atexit(at_exit);
    static pthread_key_t keys[100];
    for (int i = 0; i < 100; i++)
        if (pthread_key_create(&keys[i], NULL) == 0)
            pthread_setspecific(keys[i], &keys[i]);
    libc_threads(3);
}

int libc_forget(void) {
    int n = 0;
    if (strdup("strdup") != NULL)
        n++;
    char *text = NULL;
    if (asprintf(&text, "%s", "asprintf") > 0)
        n++;
    text = NULL;
    size_t size = 0;
    FILE *file = fopen("/etc/passwd", "r"); /* forgotten, too */
    if (file != NULL)
        n++;
    if (getline(&text, &size, file) > 0)
        n++;
    if (realpath("/", NULL) != NULL)
        n++;
    if (iconv_open("UTF-8", "LATIN1") != (iconv_t)-1)
        n++;
    if (newlocale(LC_ALL_MASK, "C", (locale_t)0) == (locale_t)0)
        return -1;
    return n;
}
