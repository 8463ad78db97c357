/*
 * truth MIX THREADS SEED RATE FILE: allocates a mix of sizes at four sites, keeps an exact ledger, and lets whatever profiler is
 * in this process write its profile to FILE. Prints the ledger. bench/truth.py compares the two.
 *
 * The profiler is cgoheap when it is linked in, else jemalloc or gperftools when preloaded. The mixes are about those of tests/truth.rs.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "cgoheap.h"

#define NEEDED(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) fprintf(stderr, "truth: %s\n", #condition), exit(1);                                         \
    } while (0)

/* A section for each site: the linker says where it begins and ends. */
#define SITE(n)                                                                                                        \
    extern "C" char __start_code_##n, __stop_code_##n;                                                                 \
    extern "C" __attribute__((noinline, section("code_" #n))) void *site_##n(size_t size) {                            \
        void *block = malloc(size);                                                                                    \
        asm volatile("" : "+r"(block)); /* no tail call: this frame is to be on the stack */                           \
        return block;                                                                                                  \
    }
SITE(0) SITE(1) SITE(2) SITE(3)

enum { SITES = 4 };
static void *(*const site[SITES])(size_t) = {site_0, site_1, site_2, site_3};

/* SplitMix64. */
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9E3779B97F4A7C15;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
        z = (z ^ z >> 27) * 0x94D049BB133111EB;
        return z ^ z >> 31;
    }
    double uniform() { return (double)((next() >> 11) + 1) / (double)(1ull << 53); }
    uint64_t below(uint64_t limit) { return next() % limit; }
};

static uint64_t rate;

static uint64_t size_of(int mix, Random &random) {
    switch (mix) {
    case 0: return 8;
    case 1: return 16 + random.below(241);
    case 2: return rate;
    case 3: return rate / 16 + random.below(4 * rate);
    case 4: return random.below(rate / 2) == 0 ? 8 * rate : 16;
    case 5: return random.below(2) == 0 ? rate / 2 : 32;
    case 6: {
        double size = 8.0 * pow(random.uniform(), -1 / 1.1);
        return size < 100.0 * (double)rate ? (uint64_t)size : 100 * rate;
    }
    default: return 100 * rate;
    }
}
static const double samples[] = {100, 100, 150, 200, 200, 150, 200, 20};

/* Blocks, bytes and the variances of their estimates: by the size asked for, and by the size that malloc makes of it. */
struct Exact {
    double objects, bytes[2], objects_variance[2], bytes_variance[2];

    void add(size_t requested, size_t usable) {
        objects++;
        for (int i = 0; i < 2; i++) {
            double size = (double)(i == 0 ? requested : usable), odds = 1 / expm1(size / (double)rate); /* (1-p)/p */
            bytes[i] += size;
            objects_variance[i] += odds;
            bytes_variance[i] += size * size * odds;
        }
    }
    void add(const Exact &o) {
        objects += o.objects;
        for (int i = 0; i < 2; i++) {
            bytes[i] += o.bytes[i];
            objects_variance[i] += o.objects_variance[i];
            bytes_variance[i] += o.bytes_variance[i];
        }
    }
};

struct Ledger {
    Exact total[SITES], live[SITES];
};

struct Worker {
    int mix;
    double share;
    uint64_t seed;
    Ledger ledger;
    pthread_t thread;
};

static void allocate(Worker *w) {
    Random random{w->seed};
    for (double expected = 0; expected < samples[w->mix] * w->share * SITES;) {
        size_t at = random.below(SITES), size = size_of(w->mix, random);
        expected += -expm1(-(double)size / (double)rate);
        void *block = site[at](size);
        NEEDED(block != NULL);
        size_t usable = malloc_usable_size(block);
        w->ledger.total[at].add(size, usable);
        if (random.below(2) == 0)
            free(block);
        else
            w->ledger.live[at].add(size, usable);
    }
}

static pthread_barrier_t allocated, written;

static void *work(void *argument) {
    allocate((Worker *)argument);
    pthread_barrier_wait(&allocated);
    pthread_barrier_wait(&written); /* threads that have ended may count differently */
    return NULL;
}

/* cgoheap; null unless linked in. */
extern "C" {
__attribute__((weak)) int cgoheap_set_rate(size_t bytes);
__attribute__((weak)) cgoheap_snapshot *cgoheap_snapshot_take(void);
__attribute__((weak)) int cgoheap_snapshot_encode(const cgoheap_snapshot *, int, unsigned char **, size_t *);
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *out = fopen(path, "w");
    NEEDED(out != NULL && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

static void dump(const char *path) {
    typedef int Mallctl(const char *, void *, size_t *, void *, size_t);
    typedef void *Instance(void);
    typedef void GetHeapSample(void *, std::string *);
    typedef void Dump(const char *);
    if (cgoheap_snapshot_take != NULL) {
        unsigned char *text;
        size_t size;
        NEEDED(cgoheap_snapshot_encode(cgoheap_snapshot_take(), CGOHEAP_FORMAT_TEXT, &text, &size) == CGOHEAP_OK);
        write_file(path, text, size);
    } else if (Mallctl *mallctl = (Mallctl *)dlsym(RTLD_DEFAULT, "mallctl")) {
        NEEDED(mallctl("prof.dump", NULL, NULL, &path, sizeof path) == 0);
    } else if (getenv("HEAPPROFILE") != NULL) {
        Dump *heap_profiler_dump = (Dump *)dlsym(RTLD_DEFAULT, "HeapProfilerDump");
        NEEDED(heap_profiler_dump != NULL);
        heap_profiler_dump("truth"); /* to the file that HEAPPROFILE names */
    } else {
        Instance *instance = (Instance *)dlsym(RTLD_DEFAULT, "_ZN15MallocExtension8instanceEv");
        GetHeapSample *get = (GetHeapSample *)dlsym(
            RTLD_DEFAULT, "_ZN15MallocExtension13GetHeapSampleEPNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE");
        NEEDED(instance != NULL && get != NULL);
        std::string text;
        get(instance(), &text);
        write_file(path, text.data(), text.size());
    }
}

int main(int argc, char **argv) {
    NEEDED(argc == 6);
    int mix = atoi(argv[1]), threads = atoi(argv[2]);
    uint64_t seed = strtoull(argv[3], NULL, 10);
    rate = strtoull(argv[4], NULL, 10);
    NEEDED(mix >= 0 && mix < (int)(sizeof samples / sizeof *samples) && threads > 0 && rate > 1);
    if (cgoheap_set_rate != NULL) NEEDED(cgoheap_set_rate(rate) == CGOHEAP_OK);

    /* gperftools draws the main thread's first distance before it has read its settings, as 16 MiB: to its favour, not counted. */
    for (int i = 0; i < 1024; i++) {
        void *volatile block = malloc(65536);
        free(block);
    }

    std::vector<Worker> workers((size_t)threads);
    pthread_barrier_init(&allocated, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&written, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) {
        workers[i] = Worker{mix, 1.0 / threads, (seed << 32) | ((uint64_t)mix << 8) | (uint64_t)i, {}, 0};
        if (threads > 1) NEEDED(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    if (threads == 1) allocate(&workers[0]);
    if (threads > 1) pthread_barrier_wait(&allocated);
    dump(argv[5]);
    if (threads > 1) {
        pthread_barrier_wait(&written);
        for (Worker &w : workers)
            pthread_join(w.thread, NULL);
    }

    const char *const bounds[SITES][2] = {{&__start_code_0, &__stop_code_0},
                                          {&__start_code_1, &__stop_code_1},
                                          {&__start_code_2, &__stop_code_2},
                                          {&__start_code_3, &__stop_code_3}};
    for (int at = 0; at < SITES; at++) {
        printf("site %d %#lx %#lx\n", at, (unsigned long)bounds[at][0], (unsigned long)bounds[at][1]);
        for (int live = 0; live < 2; live++) {
            Exact sum = {};
            for (const Worker &w : workers)
                sum.add(live ? w.ledger.live[at] : w.ledger.total[at]);
            for (int usable = 0; usable < 2; usable++)
                printf("%s %d %s %.0f %.0f %.17g %.17g\n", live ? "live" : "total", at, usable ? "usable" : "requested",
                       sum.objects, sum.bytes[usable], sum.objects_variance[usable], sum.bytes_variance[usable]);
        }
    }
    return 0;
}
