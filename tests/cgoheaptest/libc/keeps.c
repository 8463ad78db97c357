/* Functions that keep memory, at each call or at their first: the caller has nothing to give back, or has done so here. */
#define _GNU_SOURCE
#include "calls.h"
#include <aio.h>
#include <aliases.h>
#include <argp.h>
#include <dirent.h>
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <error.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fmtmsg.h>
#include <fstab.h>
#include <ftw.h>
#include <glob.h>
#include <grp.h>
#include <gshadow.h>
#include <iconv.h>
#include <ifaddrs.h>
#include <langinfo.h>
#include <libintl.h>
#include <locale.h>
#include <malloc.h>
#include <mntent.h>
#include <monetary.h>
#include <mqueue.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/ether.h>
#include <nl_types.h>
#include <printf.h>
#include <pthread.h>
#include <pty.h>
#include <pwd.h>
#include <regex.h>
#include <resolv.h>
#include <rpc/netdb.h>
#include <search.h>
#include <semaphore.h>
#include <shadow.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <syslog.h>
#include <threads.h>
#include <time.h>
#include <ttyent.h>
#include <unistd.h>
#include <utmp.h>
#include <utmpx.h>
#include <wchar.h>
#include <wordexp.h>

#define K(name) static void k_##name(void)
static void nothing(void) {}
static void nothing_int(int a, void *b) { (void)a; (void)b; }

K(pthread_atfork) { for (int i = 0; i < 100; i++) pthread_atfork(nothing, nothing, nothing); }
static char buffer[4096];
K(aio_read) {
    static struct aiocb cb; int fd = open("/etc/passwd", O_RDONLY);
    cb.aio_fildes = fd; cb.aio_buf = buffer; cb.aio_nbytes = 8;
    if (aio_read(&cb) == 0) { const struct aiocb *l[1] = {&cb}; aio_suspend(l, 1, 0); aio_return(&cb); }
    close(fd);
}
K(aio_write_fsync) {
    static struct aiocb cb, sync; int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    cb.aio_fildes = sync.aio_fildes = fd; cb.aio_buf = buffer; cb.aio_nbytes = 8;
    if (aio_write(&cb) == 0) { const struct aiocb *l[1] = {&cb}; aio_suspend(l, 1, 0); aio_return(&cb); }
    if (aio_fsync(O_SYNC, &sync) == 0) { const struct aiocb *l[1] = {&sync}; aio_suspend(l, 1, 0); aio_return(&sync); }
    close(fd);
}
K(lio_listio) {
    static struct aiocb cb[40]; struct aiocb *list[40]; int fd = open("/etc/passwd", O_RDONLY);
    for (int i = 0; i < 40; i++) { cb[i].aio_fildes = fd; cb[i].aio_buf = buffer; cb[i].aio_nbytes = 8; cb[i].aio_lio_opcode = LIO_READ; list[i] = &cb[i]; }
    lio_listio(LIO_WAIT, list, 40, 0);
    for (int i = 0; i < 40; i++) aio_return(&cb[i]);
    close(fd);
}
static void tick(union sigval v) { (void)v; }
K(lio_listio_nowait) {
    static struct aiocb cb[4]; struct aiocb *list[4]; int fd = open("/etc/passwd", O_RDONLY);
    struct sigevent e; memset(&e, 0, sizeof e); e.sigev_notify = SIGEV_THREAD; e.sigev_notify_function = tick;
    for (int i = 0; i < 4; i++) { cb[i].aio_fildes = fd; cb[i].aio_buf = buffer; cb[i].aio_nbytes = 8; cb[i].aio_lio_opcode = LIO_READ; list[i] = &cb[i]; }
    lio_listio(LIO_NOWAIT, list, 4, &e);
    for (int i = 0; i < 4; i++) { const struct aiocb *l[1] = {&cb[i]}; aio_suspend(l, 1, 0); aio_return(&cb[i]); }
    close(fd);
    usleep(20000);
}
K(timer_create) {
    timer_t t; struct sigevent e; memset(&e, 0, sizeof e); e.sigev_notify = SIGEV_THREAD; e.sigev_notify_function = tick;
    if (timer_create(CLOCK_MONOTONIC, &e, &t) == 0) timer_delete(t);
}
K(timer_fires) {
    timer_t t; struct sigevent e; memset(&e, 0, sizeof e); e.sigev_notify = SIGEV_THREAD; e.sigev_notify_function = tick;
    struct itimerspec s = {{0, 0}, {0, 1000}};
    if (timer_create(CLOCK_MONOTONIC, &e, &t) == 0) { timer_settime(t, 0, &s, 0); usleep(20000); timer_delete(t); }
}
K(mq_notify) {
    struct mq_attr a = {.mq_maxmsg = 1, .mq_msgsize = 8};
    mqd_t q = mq_open("/cgoheap-sweep", O_CREAT | O_RDWR, 0600, &a);
    if (q == (mqd_t)-1) return;
    struct sigevent e; memset(&e, 0, sizeof e); e.sigev_notify = SIGEV_THREAD; e.sigev_notify_function = tick;
    mq_notify(q, &e); mq_send(q, "x", 1, 0); usleep(10000); mq_close(q); mq_unlink("/cgoheap-sweep");
}
K(newlocale) { locale_t l = newlocale(LC_ALL_MASK, "C.UTF-8", 0), d = duplocale(l); locale_t o = uselocale(l); wchar_t w[9]; mbstowcs(w, "h\xc3\xa9", 8); uselocale(o); freelocale(l); freelocale(d); }
K(setlocale) { setlocale(LC_ALL, "C.UTF-8"); setlocale(LC_ALL, "LC_CTYPE=C.UTF-8;LC_NUMERIC=C;LC_TIME=C;LC_COLLATE=C;LC_MONETARY=C;LC_MESSAGES=C;LC_PAPER=C;LC_NAME=C;LC_ADDRESS=C;LC_TELEPHONE=C;LC_MEASUREMENT=C;LC_IDENTIFICATION=C"); setlocale(LC_ALL, "C.UTF-8"); }
K(mbstowcs) { wchar_t w[10]; mbstowcs(w, "h\xc3\xa9", 9); char b[20]; wcstombs(b, w, 20); }
K(mbrtowc) { wchar_t w; mbstate_t s; memset(&s, 0, sizeof s); mbrtowc(&w, "\xc3\xa9", 2, &s); btowc('a'); wctob(L'a'); mblen("\xc3\xa9", 2); wctomb(buffer, L'a'); }
K(swprintf) { wchar_t w[50]; swprintf(w, 50, L"%s %d %f", "h\xc3\xa9", 3, 1e300); swscanf(L"1 a", L"%*d %*s"); }
K(fwprintf) { FILE *f = fopen("/dev/null", "w"); fwprintf(f, L"h\xe9 %s", "x"); fclose(f); fwprintf(stderr, L""); }
K(fopen_ccs) { FILE *f = fopen("/etc/passwd", "r,ccs=UTF-16"); if (f) { fgetwc(f); fclose(f); } }
K(getmntent) { FILE *f = setmntent("/proc/self/mounts", "r"); if (f) { getmntent(f); endmntent(f); } }
K(getfsent) { setfsent(); getfsent(); getfsspec("x"); getfsfile("/"); endfsent(); }
K(syslog) { openlog("x", LOG_PID, LOG_USER); syslog(LOG_DEBUG, "x"); closelog(); syslog(LOG_DEBUG, "x%s", "y"); }
K(backtrace) { void *p[10]; int n = backtrace(p, 10); int fd = open("/dev/null", O_WRONLY); backtrace_symbols_fd(p, n, fd); close(fd); free(backtrace_symbols(p, n)); }
K(getlogin) { char *s = getlogin(); (void)s; getlogin_r(buffer, 100); cuserid(buffer); }
static int pf(FILE *f, const struct printf_info *i, const void *const *a) { (void)f; (void)i; (void)a; return 0; }
static int pa(const struct printf_info *i, size_t n, int *t, int *s) { (void)i; (void)n; (void)t; (void)s; return 0; }
K(register_printf) { register_printf_specifier('Y', pf, pa); wchar_t q[] = L"q7"; register_printf_modifier(q); register_printf_type((printf_va_arg_function *)nothing); snprintf(buffer, 10, "%Y"); }
K(register_printf_function) { register_printf_function('Z', pf, (printf_arginfo_function *)pa); }
K(strerror) { strerror(4711); strsignal(99); psignal(99, ""); strerror_l(4711, LC_GLOBAL_LOCALE); perror(""); }
K(sem_open) { sem_t *s = sem_open("/cgoheap-x", O_CREAT, 0600, 0); if (s != SEM_FAILED) { sem_close(s); sem_unlink("/cgoheap-x"); } }
K(tmpfile) { FILE *f = tmpfile(); fprintf(f, "x"); fclose(f); tmpnam(buffer); free(tempnam("/tmp", "x")); }
K(popen) { FILE *f = popen("true", "r"); if (fgets(buffer, 9, f)) {} pclose(f); }
K(strfmon) { strfmon(buffer, 50, "%n", 12.3); }
K(time) { srandom(1); struct tm t; time_t n = 0; localtime_r(&n, &t); localtime(&n); gmtime(&n); ctime(&n); getdate("12:00"); strptime("Mon", "%a", &t); mktime(&t); strftime(buffer, 50, "%c %Z", &t); wcsftime((wchar_t *)buffer, 50, L"%c", &t); }
K(tz_changes) { setenv("TZ", "Europe/Berlin", 1); tzset(); time_t n = 0; localtime(&n); setenv("TZ", "America/New_York", 1); tzset(); localtime(&n); unsetenv("TZ"); tzset(); struct tm t; localtime_r(&n, &t); }
K(getdate) { FILE *f = fopen("/tmp/cgoheap-datemsk", "w"); fprintf(f, "%%H:%%M\n"); fclose(f); setenv("DATEMSK", "/tmp/cgoheap-datemsk", 1); getdate("12:00"); unlink("/tmp/cgoheap-datemsk"); }
K(hosts) { sethostent(1); gethostent(); endhostent(); gethostbyname("localhost"); struct in_addr a = {htonl(0x7f000001)}; gethostbyaddr(&a, 4, AF_INET); gethostbyname2("localhost", AF_INET6); gethostid(); }
K(services) { setservent(1); getservent(); endservent(); getservbyname("http", "tcp"); getservbyport(htons(80), "tcp"); }
K(protocols) { setprotoent(1); getprotoent(); endprotoent(); getprotobyname("tcp"); getprotobynumber(6); }
K(networks) { setnetent(1); getnetent(); endnetent(); getnetbyname("loopback"); getnetbyaddr(127, AF_INET); }
K(rpcs) { setrpcent(1); getrpcent(); endrpcent(); getrpcbyname("portmapper"); getrpcbynumber(100000); }
K(aliases) { setaliasent(); getaliasent(); endaliasent(); getaliasbyname("root"); }
K(netgroups) { setnetgrent("x"); char *a, *b, *c; getnetgrent(&a, &b, &c); endnetgrent(); innetgr("x", 0, 0, 0); }
K(ethers) { ether_ntoa(ether_aton("1:2:3:4:5:6")); struct ether_addr e; ether_hostton("x", &e); ether_ntohost(buffer, &e); }
K(groups) { struct group g, *r; getgrnam_r("root", &g, buffer, 2000, &r); gid_t l[20]; int n = 20; getgrouplist("root", 0, l, &n); setgrent(); getgrent(); endgrent(); getgrgid(0); getgrnam("root"); FILE *f = fopen("/etc/group", "r"); fgetgrent(f); fclose(f); initgroups("root", 0); }
K(passwords) { setpwent(); getpwent(); endpwent(); getpwnam("root"); getpwuid(0); FILE *f = fopen("/etc/passwd", "r"); fgetpwent(f); fclose(f); getpw(0, buffer); }
K(shadows) { setspent(); getspent(); endspent(); getspnam("root"); sgetspent("a:b:1:1:1:1:1:1:"); FILE *f = fopen("/etc/shadow", "r"); if (f) { fgetspent(f); fclose(f); } setsgent(); getsgent(); endsgent(); getsgnam("root"); }
K(gettext) { bindtextdomain("x", "/tmp"); bind_textdomain_codeset("x", "UTF-8"); textdomain("x"); gettext("hello"); ngettext("a", "b", 2); dcgettext("y", "hello", LC_MESSAGES); textdomain(""); }
K(gettext_language) { setlocale(LC_ALL, "C.UTF-8"); setenv("LANGUAGE", "de:fr", 1); gettext("hello"); dngettext("q", "a", "b", 2); unsetenv("LANGUAGE"); }
K(catalogs) { nl_catd c = catopen("nothing", 0); if (c != (nl_catd)-1) catclose(c); }
K(nl_langinfo) { nl_langinfo(CODESET); nl_langinfo(MON_1); localeconv(); rpmatch("y"); rpmatch("n"); wcwidth(L'x'); iconv_t i = iconv_open("UTF-8//TRANSLIT", "ISO-8859-1"); iconv_close(i); }
static pthread_key_t keys[80];
K(pthread_keys) { for (int i = 0; i < 80; i++) pthread_key_create(&keys[i], 0); pthread_setspecific(keys[79], keys); }
static tss_t tkeys[80];
K(tss) { for (int i = 0; i < 80; i++) tss_create(&tkeys[i], 0); tss_set(tkeys[79], keys); }
static __thread char big[100000];
static void *work(void *a) { big[5] = 1; strerror(4712); return a; }
static int twork(void *a) { (void)a; return 0; }
K(pthread_create) { pthread_t t[8]; for (int i = 0; i < 8; i++) pthread_create(&t[i], 0, work, 0); for (int i = 0; i < 8; i++) pthread_join(t[i], 0); }
K(thrd_create) { thrd_t t; thrd_create(&t, twork, 0); thrd_join(t, 0); }
static void *waits(void *a) { for (;;) pause(); return a; }
K(pthread_cancel) { pthread_t t; pthread_create(&t, 0, waits, 0); pthread_cancel(t); pthread_join(t, 0); pthread_attr_t a; pthread_getattr_np(pthread_self(), &a); pthread_attr_destroy(&a); }
K(terminals) { int m = posix_openpt(O_RDWR | O_NOCTTY); if (m < 0) return; grantpt(m); unlockpt(m); ptsname(m); int s = open(ptsname(m), O_RDWR | O_NOCTTY); ttyname(s); ttyname_r(s, buffer, 100); isatty(s); close(s); close(m); int a, b; if (openpty(&a, &b, 0, 0, 0) == 0) { close(a); close(b); } ctermid(0); }
K(utmp) { utmpname("/etc/passwd"); setutent(); getutent(); struct utmp u; memset(&u, 0, sizeof u); getutline(&u); getutid(&u); endutent(); setutxent(); getutxent(); endutxent(); utmpname("/var/run/utmp"); }
K(shells) { setusershell(); getusershell(); endusershell(); }
K(shells_kept) { getusershell(); }
K(ttys) { setttyent(); getttyent(); getttynam("x"); endttyent(); }
K(environment) { setenv("CGOHEAP_A", "1", 1); setenv("CGOHEAP_A", "22", 1); static char e[] = "CGOHEAP_B=1"; putenv(e); unsetenv("CGOHEAP_A"); unsetenv("CGOHEAP_B"); }
K(exits) { for (int i = 0; i < 70; i++) { atexit(nothing); at_quick_exit(nothing); on_exit(nothing_int, 0); } }
K(dl) { void *l = dlopen("libm.so.6", RTLD_NOW); dlsym(l, "nothing"); dlerror(); Dl_info i; dladdr((void *)dlopen, &i); dlclose(l); dlopen("none.so", RTLD_NOW); dlerror(); dlsym(RTLD_DEFAULT, "none"); dlvsym(RTLD_DEFAULT, "none", "x"); }
K(dl_kept) { dlopen("libstdc++.so.6", RTLD_NOW); }
K(fmtmsg) { int e = dup(2); int n = open("/dev/null", O_WRONLY); dup2(n, 2); fmtmsg(MM_PRINT, "a:b", MM_ERROR, "x", "y", "c:1"); dup2(e, 2); close(e); close(n); }
K(addseverity) { addseverity(7, "seven"); }
static struct argp_option options[] = {{"x", 'x', 0, 0, "doc", 0}, {0}};
static error_t popt(int k, char *a, struct argp_state *s) { (void)k; (void)a; (void)s; return ARGP_ERR_UNKNOWN; }
static struct argp argp = {options, popt, 0, "doc", 0, 0, 0};
K(argp) { char *v[] = {"x", "-x", 0}; argp_parse(&argp, 2, v, ARGP_NO_EXIT | ARGP_SILENT, 0, 0); FILE *f = fopen("/dev/null", "w"); argp_help(&argp, f, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, "x"); fclose(f); }
K(addresses) { struct addrinfo *f; if (getaddrinfo("localhost", "80", 0, &f) == 0) freeaddrinfo(f); struct sockaddr_in s = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000001)}}; getnameinfo((struct sockaddr *)&s, sizeof s, buffer, 100, 0, 0, 0); struct ifaddrs *i; if (getifaddrs(&i) == 0) freeifaddrs(i); struct if_nameindex *n = if_nameindex(); if_freenameindex(n); gai_strerror(1); }
K(getaddrinfo_a) { struct gaicb g = {.ar_name = "localhost"}, *l[1] = {&g}; if (getaddrinfo_a(GAI_WAIT, l, 1, 0) == 0 && g.ar_result) freeaddrinfo(g.ar_result); }
K(resolver) { res_init(); unsigned char a[512]; res_query("localhost", 1, 1, a, sizeof a); res_search("x.invalid", 1, 1, a, sizeof a); }
K(hsearch) { hcreate(10); ENTRY e = {"a", 0}; hsearch(e, ENTER); hdestroy(); }
static int cmp(const void *a, const void *b) { return *(const char *)a - *(const char *)b; }
K(qsort) { static char big_array[3 << 20]; qsort(big_array, 3 << 20, 1, cmp); void *r = 0; tsearch("a", &r, cmp); tdelete("a", &r, cmp); }
K(regex) { regex_t r; regcomp(&r, "a(b)*c", REG_EXTENDED); regexec(&r, "abbc", 0, 0, 0); regfree(&r); re_comp("a*b"); re_exec("ab"); }
K(globs) { glob_t g; glob("/etc/p*", 0, 0, &g); globfree(&g); wordexp_t w; wordexp("a $HOME ~", &w, 0); wordfree(&w); glob("~/*", GLOB_TILDE, 0, &g); globfree(&g); }
static int visit(const char *f, const struct stat *s, int t) { (void)f; (void)s; (void)t; return 0; }
K(directories) { DIR *d = opendir("/etc"); readdir(d); closedir(d); ftw("/etc/apt", visit, 5); free(get_current_dir_name()); free(realpath(".", 0)); struct dirent **l; int n = scandir("/etc/apt", &l, 0, alphasort); while (n-- > 0) free(l[n]); free(l); }
K(malloc_tools) { struct mallinfo2 m = mallinfo2(); (void)m; FILE *f = fopen("/dev/null", "w"); malloc_info(0, f); fclose(f); malloc_trim(0); mallopt(M_MMAP_THRESHOLD, 1 << 20); }
K(streams) { char *p; size_t n; FILE *f = open_memstream(&p, &n); fprintf(f, "hello"); fclose(f); free(p); wchar_t *w; f = open_wmemstream(&w, &n); fwprintf(f, L"x"); fclose(f); free(w); f = fmemopen(buffer, 10, "w"); fclose(f); f = fopen("/etc/passwd", "r"); char *l = 0; n = 0; getline(&l, &n, f); free(l); ungetc('x', f); ungetc('y', f); for (int i = 0; i < 20; i++) ungetc('y', f); fclose(f); }
K(stdio) { printf("%s", ""); scanf(""); setvbuf(stdin, 0, _IOLBF, 0); getc(stdin); fflush(0); char *s; if (sscanf("abc", "%ms", &s) == 1) free(s); dprintf(1, "%s", ""); vprintf("", (va_list){}); ungetc(' ', stdin); }
K(conversions) { ecvt(1.5, 3, &(int){0}, &(int){0}); l64a(5); strtod("1e-300", 0); snprintf(buffer, 4000, "%2000.1000f %Lf", 1e300, 1e300L); setlocale(LC_ALL, "C.UTF-8"); strcoll("a", "b"); strxfrm(buffer, "abc", 10); wcscoll(L"a", L"b"); strcasecmp("a", "b"); }
K(processes) { if (system("true")) {} pid_t p; char *v[] = {"true", 0}; posix_spawn_file_actions_t a; posix_spawn_file_actions_init(&a); posix_spawn_file_actions_addopen(&a, 0, "/dev/null", O_RDONLY, 0); if (posix_spawnp(&p, "true", &a, 0, v, environ) == 0) waitpid(p, 0, 0); posix_spawn_file_actions_destroy(&a); get_nprocs(); getloadavg((double[3]){0}, 3); sysconf(_SC_NPROCESSORS_ONLN); confstr(_CS_PATH, buffer, 100); }
K(errors) { int e = dup(2); int n = open("/dev/null", O_WRONLY); dup2(n, 2); warn("x"); warnx("x"); error(0, 5, "x"); error_at_line(0, 5, "f", 1, "x"); siginfo_t i = {.si_signo = 11}; psiginfo(&i, "x"); dup2(e, 2); close(e); close(n); }
K(iconv) { iconv_t c = iconv_open("UTF-16", "ISO-8859-15"); char f[] = "abc", *i = f, *o = buffer; size_t l = 3, r = 100; iconv(c, &i, &l, &o, &r); iconv_close(c); c = iconv_open("EUC-JP", "KOI8-R"); if (c != (iconv_t)-1) iconv_close(c); c = iconv_open("no", "such"); }
K(getline_stdin) { char *l = 0; size_t n = 0; getline(&l, &n, stdin); free(l); if (scanf("%s", buffer)) {} }
K(fgets_stdin) { if (fgets(buffer, 10, stdin)) {} getchar(); }
#undef K
#define K(name) {#name, k_##name},
const struct call keeps[] = {
K(pthread_atfork) K(aio_read) K(aio_write_fsync) K(lio_listio) K(lio_listio_nowait) K(timer_create) K(timer_fires) K(mq_notify) K(newlocale) K(setlocale) K(mbstowcs) K(mbrtowc) K(swprintf) K(fwprintf) K(fopen_ccs)
K(getmntent) K(getfsent) K(syslog) K(backtrace) K(getlogin) K(register_printf) K(register_printf_function) K(strerror) K(sem_open) K(tmpfile) K(popen) K(strfmon) K(time) K(tz_changes) K(getdate) K(hosts) K(services) K(protocols)
K(networks) K(rpcs) K(aliases) K(netgroups) K(ethers) K(groups) K(passwords) K(shadows) K(gettext) K(gettext_language) K(catalogs) K(nl_langinfo) K(pthread_keys) K(tss) K(pthread_create) K(thrd_create) K(pthread_cancel) K(terminals) K(utmp)
K(shells) K(shells_kept) K(ttys) K(environment) K(exits) K(dl) K(dl_kept) K(fmtmsg) K(addseverity) K(argp) K(addresses) K(getaddrinfo_a) K(resolver) K(hsearch) K(qsort) K(regex) K(globs) K(directories) K(malloc_tools) K(streams) K(stdio)
K(conversions) K(processes) K(errors) K(iconv) K(getline_stdin) K(fgets_stdin)
};
const int n_keeps = sizeof keeps / sizeof *keeps;

void libc_threads(int n) {
    for (int i = 0; i < n; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, NULL) == 0)
            pthread_join(thread, NULL);
    }
}
