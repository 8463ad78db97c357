/* Functions that hand out memory: each call forgets to give it back. */
#define _GNU_SOURCE
#include "calls.h"
#include <aio.h>
#include <argz.h>
#include <dirent.h>
#include <envz.h>
#include <execinfo.h>
#include <fts.h>
#include <fcntl.h>
#include <glob.h>
#include <iconv.h>
#include <ifaddrs.h>
#include <libintl.h>
#include <locale.h>
#include <malloc.h>
#include <mntent.h>
#include <net/if.h>
#include <netdb.h>
#include <nl_types.h>
#include <pthread.h>
#include <regex.h>
#include <sched.h>
#include <search.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wordexp.h>
#define G(name) static void g_##name(void)
static char *volatile text; static size_t size; static void *volatile any;
G(strdup) { any = strdup("x"); }
G(strndup) { any = strndup("xyz", 2); }
G(wcsdup) { any = wcsdup(L"x"); }
G(asprintf) { char *t; if (asprintf(&t, "%d", 5) > 0) any = t; }
static void va(const char *f, ...) { __builtin_va_list l; __builtin_va_start(l, f); char *t; if (vasprintf(&t, f, l) > 0) any = t; __builtin_va_end(l); }
G(vasprintf) { va("%d", 5); }
G(fopen) { any = fopen("/etc/passwd", "r"); }
G(fopen64) { any = fopen64("/etc/passwd", "r"); }
G(fdopen) { any = fdopen(dup(1), "w"); }
G(freopen) { any = freopen("/etc/passwd", "r", fopen("/dev/null", "r")); }
G(fmemopen) { static char b[10]; any = fmemopen(b, 10, "r"); }
static cookie_io_functions_t io;
G(fopencookie) { any = fopencookie(0, "r", io); }
G(open_memstream) { static char *p; static size_t n; any = open_memstream(&p, &n); }
G(popen) { any = popen("true", "r"); }
G(tmpfile) { any = tmpfile(); }
G(setmntent) { any = setmntent("/etc/mtab", "r"); }
G(getline) { FILE *f = fopen("/etc/passwd", "r"); char *t = 0; size_t n = 0; if (getline(&t, &n, f) > 0) any = t; fclose(f); }
G(getdelim) { FILE *f = fopen("/etc/passwd", "r"); char *t = 0; size_t n = 0; if (getdelim(&t, &n, ':', f) > 0) any = t; fclose(f); }
G(sscanf) { char *t; if (sscanf("abc", "%ms", &t) == 1) any = t; }
G(realpath) { any = realpath("/", 0); }
G(canonicalize_file_name) { any = canonicalize_file_name("/"); }
G(getcwd) { any = getcwd(0, 0); }
G(get_current_dir_name) { any = get_current_dir_name(); }
G(tempnam) { any = tempnam("/tmp", "x"); }
G(opendir) { any = opendir("/"); }
G(fdopendir) { any = fdopendir(dup(open("/", 0))); }
G(scandir) { struct dirent **l; if (scandir("/etc/apt", &l, 0, alphasort) > 0) any = l; }
static char *const paths[] = {"/etc/apt", 0};
G(fts) { any = fts_open(paths, FTS_PHYSICAL, 0); }
G(glob) { static glob_t g; glob("/etc/p*", 0, 0, &g); }
G(wordexp) { static wordexp_t w; wordexp("a b", &w, 0); }
G(regcomp) { static regex_t r; regcomp(&r, "a*b", 0); }
G(iconv_open) { any = iconv_open("UTF-8", "LATIN1"); }
G(getifaddrs) { static struct ifaddrs *i; getifaddrs(&i); }
G(if_nameindex) { any = if_nameindex(); }
G(backtrace_symbols) { static void *p[5]; int n = backtrace(p, 5); any = backtrace_symbols(p, n); }
G(sem_open) { any = sem_open("/cgoheap-forgotten", O_CREAT, 0600, 0); sem_unlink("/cgoheap-forgotten"); }
static void tick(union sigval v) { (void)v; }
G(timer_create) { timer_t t; struct sigevent e; memset(&e, 0, sizeof e); e.sigev_notify = SIGEV_THREAD; e.sigev_notify_function = tick; timer_create(CLOCK_MONOTONIC, &e, &t); }
G(hcreate) { static struct hsearch_data d; hcreate_r(20, &d); }
static int cmp(const void *a, const void *b) { return strcmp(a, b); }
G(tsearch) { static void *root; tsearch("a", &root, cmp); }
G(argz) { char *a = 0; size_t n = 0; argz_add(&a, &n, "x"); any = a; }
G(argz_create_sep) { char *a = 0; size_t n = 0; argz_create_sep("x:y", ':', &a, &n); any = a; }
G(envz) { char *a = 0; size_t n = 0; envz_add(&a, &n, "x", "y"); any = a; }
G(posix_spawn_actions) { static posix_spawn_file_actions_t a; posix_spawn_file_actions_init(&a); posix_spawn_file_actions_addclose(&a, 77); }
G(cpu_alloc) { any = CPU_ALLOC(5000); }

G(memalign) { any = memalign(64, 100); }
G(reallocarray) { any = reallocarray(0, 5, 5); }
G(pthread_getattr) { static pthread_attr_t a; pthread_getattr_np(pthread_self(), &a); }
#undef G
#define G(name) {#name, g_##name},
const struct call hands_out[] = { G(strdup) G(strndup) G(wcsdup) G(asprintf) G(vasprintf) G(fopen) G(fopen64) G(fdopen) G(freopen) G(fmemopen) G(fopencookie) G(open_memstream) G(popen) G(tmpfile) G(setmntent) G(getline) G(getdelim) G(sscanf) G(realpath) G(canonicalize_file_name) G(getcwd) G(get_current_dir_name) G(tempnam) G(opendir) G(fdopendir) G(scandir) G(fts) G(glob) G(wordexp) G(regcomp) G(iconv_open)  G(getifaddrs) G(if_nameindex) G(backtrace_symbols) G(sem_open) G(timer_create) G(hcreate) G(tsearch) G(argz) G(argz_create_sep) G(envz) G(posix_spawn_actions) G(cpu_alloc) G(memalign) G(reallocarray) G(pthread_getattr) };
const int n_hands_out = sizeof hands_out / sizeof *hands_out;
