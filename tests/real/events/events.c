#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "events.h"

void *volatile events_sink;
#define KEEP_FRAME() __asm__ volatile("" ::: "memory") /* no tail call */

static int churn(int rounds) {
    void *blocks[100] = {0};
    for (int i = 0; i < rounds; i++) {
        void **slot = &blocks[i % 100];
        free(*slot);
        *slot = i % 3 ? malloc(i % 1000) : calloc(1, i % 5000);
        if (i % 7 == 0)
            *slot = realloc(*slot, 2000);
        if (*slot == NULL)
            return 1;
    }
    for (int i = 0; i < 100; i++)
        free(blocks[i]);
    return 0;
}

static int wait_for(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static void *child_thread(void *unused) {
    (void)unused;
    return churn(1000) ? (void *)1 : NULL;
}

int events_fork(int children) {
    int wrong = 0;
    void *before = malloc(500);
    for (int i = 0; i < children; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20); /* a child that hangs must not stay */
            free(before);
            int bad = churn(1000);
            pthread_t thread;
            void *result = NULL;
            if (pthread_create(&thread, NULL, child_thread, NULL) != 0 || pthread_join(thread, &result) != 0)
                bad = 1;
            _exit(bad || result != NULL);
        }
        wrong += child < 0 || wait_for(child) != 0;
    }
    free(before);
    return wrong;
}

static atomic_int stop;
static void *busy(void *wrong) {
    while (!atomic_load(&stop))
        if (churn(1000))
            atomic_fetch_add((atomic_int *)wrong, 1);
    return NULL;
}

int events_fork_under_load(int children) {
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    atomic_int wrong = 0;
    atomic_store(&stop, 0);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&thread[i], NULL, busy, &wrong);
    int failed = events_fork(children);
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    return failed + atomic_load(&wrong);
}

int events_vfork(int children) {
    int wrong = 0;
    for (int i = 0; i < children; i++) {
        pid_t child = vfork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        wrong += child < 0 || wait_for(child) != 0;
    }
    return wrong;
}

void *events_open(const char *file) { return dlopen(file, RTLD_NOW | RTLD_LOCAL); }
int events_close(void *library) { return dlclose(library); }
int events_call(void *library, int n, int size) {
    void (*leak)(int, int) = (void (*)(int, int))dlsym(library, "plugin_leak");
    if (leak == NULL)
        return 1;
    leak(n, size);
    KEEP_FRAME();
    return 0;
}

int events_dlopen(const char *file, int times) {
    for (int i = 0; i < times; i++) {
        void *library = events_open(file);
        if (library == NULL || events_call(library, 1, 17) != 0)
            return 1;
        void *(*last)(void) = (void *(*)(void))dlsym(library, "plugin_last");
        free(last());
        if (events_close(library) != 0)
            return 1;
    }
    return 0;
}

static pthread_key_t key;
static void destructor(void *value) {
    free(value);
    char *more = strdup("allocated while the thread ends");
    events_sink = more;
    static _Thread_local int rounds;
    if (rounds++ < 3)
        pthread_setspecific(key, more); /* once more, please */
    else
        free(more);
}
static void *thread_with_data(void *unused) {
    pthread_setspecific(key, malloc(300));
    return unused;
}
int events_destructors(int threads) {
    if (key == 0 && pthread_key_create(&key, destructor) != 0)
        return 1;
    for (int i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_with_data, NULL) != 0 || pthread_join(thread, NULL) != 0)
            return 1;
    }
    return 0;
}

/* The handler interrupts code that isn't in malloc: so it may call it. */
static volatile sig_atomic_t handled, kept_size;
__attribute__((noinline)) static void handler(int signal) {
    (void)signal;
    void *block = malloc(700);
    events_sink = block;
    handled += block != NULL;
    free(block);
    if (handled % 10 == 0)
        events_sink = malloc(kept_size); /* stays */
}
__attribute__((noinline)) static void interrupted(void) { raise(SIGUSR2); KEEP_FRAME(); }
__attribute__((noinline)) static int interrupt(void *alternate, size_t length, int times) {
    stack_t stack = {.ss_sp = alternate, .ss_size = length}, old;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK}, before;
    if (sigaltstack(&stack, &old) != 0 || sigaction(SIGUSR2, &action, &before) != 0)
        return 1;
    handled = 0;
    for (int i = 0; i < times; i++)
        interrupted();
    sigaction(SIGUSR2, &before, NULL);
    sigaltstack(&old, NULL);
    return handled != times;
}
int events_signals(int times, int size) {
    size_t length = 128 * 1024;
    void *stack = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    kept_size = size;
    int wrong = interrupt(stack, length, times);
    return munmap(stack, length) + wrong;
}

/* The alternate stack lies close to the thread's own, with a hole between them: below, it looks like one large frame. */
static char *alternate;
static int near_times;
enum { ALTERNATE = 128 * 1024, HOLE = 64 * 1024, OWN = 512 * 1024, ALL = OWN + HOLE + ALTERNATE };
__attribute__((noinline)) static void *near_thread(void *wrong) {
    *(int *)wrong = interrupt(alternate, ALTERNATE, near_times);
    return NULL;
}
int events_signals_near(int times, int size, int above) {
    char *memory = mmap(NULL, ALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory + (above ? OWN : ALTERNATE), HOLE, PROT_NONE) != 0)
        return 1;
    alternate = memory + (above ? OWN + HOLE : 0);
    near_times = times, kept_size = size;
    pthread_attr_t attributes;
    pthread_t thread;
    int wrong = 1;
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, memory + (above ? 0 : ALTERNATE + HOLE), OWN) == 0 &&
        pthread_create(&thread, &attributes, near_thread, &wrong) == 0)
        pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    return munmap(memory, ALL) + wrong;
}

__attribute__((noinline)) void events_recurse(int depth, int n, int size) {
    if (depth == 0)
        for (int i = 0; i < n; i++)
            events_sink = malloc(size);
    else
        events_recurse(depth - 1, n, size);
    KEEP_FRAME();
}

int events_jit(int n, int size) {
    static const unsigned char code[] = {
        0x48, 0x83, 0xec, 0x08, /* sub rsp, 8 */
        0xff, 0xd6,             /* call rsi: malloc */
        0x48, 0x83, 0xc4, 0x08, /* add rsp, 8 */
        0xc3,                   /* ret */
    };
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return 1;
    memcpy(page, code, sizeof code);
    void *(*run)(size_t, void *(*)(size_t)) = (void *(*)(size_t, void *(*)(size_t)))page;
    for (int i = 0; i < n; i++)
        events_sink = run(size, malloc);
    return munmap(page, 4096);
}

/* Clobbers the frame pointer too. */
void *events_bare_malloc(size_t size);
__asm__(".text\n"
        ".globl events_bare_malloc\n"
        ".type events_bare_malloc, @function\n"
        "events_bare_malloc:\n"
        "push %rbp\n"
        "mov $0x123456789, %rbp\n"
        "call malloc@PLT\n"
        "pop %rbp\n"
        "ret\n"
        ".size events_bare_malloc, . - events_bare_malloc\n");
int events_assembly(int n, int size) {
    for (int i = 0; i < n; i++)
        events_sink = events_bare_malloc(size);
    return events_sink == NULL;
}

int events_no_memory(int times) {
    int wrong = 0;
    volatile size_t huge = SIZE_MAX / 2, most = SIZE_MAX;
    for (int i = 0; i < times; i++) {
        void *block = malloc(100), *out = block;
        errno = 0;
        wrong += malloc(huge) != NULL || errno != ENOMEM;
        errno = 0;
        wrong += malloc(most) != NULL || errno != ENOMEM;
        wrong += calloc(huge, 3) != NULL;
        wrong += realloc(block, huge) != NULL; /* the block stays */
        wrong += reallocarray(block, huge, 3) != NULL;
        wrong += posix_memalign(&out, 64, huge) != ENOMEM || out != block;
        wrong += posix_memalign(&out, 3, 10) != EINVAL || out != block;
        wrong += aligned_alloc(64, huge) != NULL;
        memset(block, 1, 100);
        free(block);
    }
    return wrong;
}

static ucontext_t outside, inside;
static int coroutine_blocks, coroutine_size;
__attribute__((noinline)) static void coroutine(void) {
    for (int i = 0; i < coroutine_blocks; i++) {
        events_sink = malloc(coroutine_size);
        swapcontext(&inside, &outside);
    }
}
int events_coroutine(int n, int size) {
    size_t length = 64 * 1024;
    void *stack = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    coroutine_blocks = n, coroutine_size = size;
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack, inside.uc_stack.ss_size = length, inside.uc_link = &outside;
    makecontext(&inside, coroutine, 0);
    for (int i = 0; i <= n; i++)
        swapcontext(&outside, &inside);
    return munmap(stack, length);
}

static int clone_main(void *wrong) {
    *(int *)wrong = churn(1000);
    return 0;
}
int events_clone_thread(int times) {
    size_t length = 256 * 1024;
    char *stack = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int wrong = 0, one = 1;
    for (int i = 0; i < times; i++) {
        /* The caller's thread-local storage is the child's too: the caller waits, as after vfork. */
        pid_t child = clone(clone_main, stack + length, CLONE_VM | CLONE_VFORK | SIGCHLD, &one);
        wrong += child < 0 || wait_for(child) != 0 || one != 0;
    }
    munmap(stack, length);
    return wrong;
}

/* The address space that this process has now, in bytes; -1 when it can't be read. */
static long address_space(void) {
    long pages = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%ld", &pages) != 1)
            pages = -1;
        fclose(file);
    }
    return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

long events_hoard(long room) {
    struct rlimit before, little;
    long now = address_space();
    if (now < 0 || getrlimit(RLIMIT_AS, &before) != 0)
        return -1;
    little = before;
    little.rlim_cur = now + room;
    if (setrlimit(RLIMIT_AS, &little) != 0)
        return -1;
    struct block {
        struct block *next;
        char rest[56];
    } *all = NULL, *fresh;
    long n = 0;
    for (; (fresh = malloc(sizeof *fresh)) != NULL; n++) {
        memset(fresh->rest, (char)n, sizeof fresh->rest);
        fresh->next = all;
        all = fresh;
    }
    setrlimit(RLIMIT_AS, &before); /* Go can't live without memory: end the hardship first */
    for (long i = n; all != NULL; free(fresh)) {
        fresh = all;
        all = fresh->next;
        i--;
        for (size_t j = 0; j < sizeof fresh->rest; j++)
            if (fresh->rest[j] != (char)i)
                return -1;
    }
    return n;
}
