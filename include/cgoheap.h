/*
 * cgoheap: the C memory of a Go program, sampled, with C line and Go caller, at /debug/pprof/cgoheap.
 *
 * Include this header in a cgo preamble or a .c file, or give the compiler `-include cgoheap.h`: calls of malloc, free
 * and their relatives then go through the profiler. See the README for which way sees what.
 *
 * Conventions: sizes are in bytes; all functions may be called from any thread; strings that go in are copied. Functions that
 * return int, and don't stand for one of libc's, return a number of `enum cgoheap_result`: 0 for success, 1 to 7 for what
 * went wrong. Nothing here sets errno unless the function that it stands for does.
 */
/* `-include` reaches .S files too, which hold no C, and, in CGO_CFLAGS, our own Go package, which says when it wants it. */
#if !defined(CGOHEAP_H) && !defined(__ASSEMBLER__)
#define CGOHEAP_H

#include <stddef.h> /* the compiler's own, which fixes no feature macros; <stdint.h> would */

#ifdef __cplusplus
extern "C" {
#endif

/* ----------------------------------------------------------- settings and totals: for Go, Rust and C programs alike */

/* Version of this contract. The Go package refers to it by name, so that a stale archive fails to link. */
extern const unsigned int cgoheap_abi_2;

enum cgoheap_result {
    CGOHEAP_OK = 0,
    CGOHEAP_ERR_NULL = 1,      /* a pointer that must not be null is null */
    CGOHEAP_ERR_ARGUMENT = 2,  /* an argument is out of its range or malformed */
    CGOHEAP_ERR_NO_MEMORY = 3, /* the operating system gives no more memory */
    CGOHEAP_ERR_PANIC = 4,     /* a bug in cgoheap: the call did nothing; please report it */
    CGOHEAP_ERR_GO_LAYOUT = 5, /* Go's stacks are not laid out as expected: Go frames stay off */
    CGOHEAP_ERR_IO = 6,        /* a file could not be written */
    CGOHEAP_ERR_NO_TABLES = 7  /* the program's C code has no unwind tables: stacks end behind their first function */
};

/* A sentence about a result; static, never null. */
const char *cgoheap_result_text(int result);

/* Mean bytes between samples: 1 samples every allocation, 0 none. Takes effect at the next allocation of every thread.
   Returns CGOHEAP_ERR_ARGUMENT above 2^40. */
int cgoheap_set_rate(size_t bytes);
size_t cgoheap_rate(void);

/* Totals and losses; the fields are described in the Rust type `Stats`, in the same order. Objects and bytes are
   estimates of requested memory, exact at rate 1. */
struct cgoheap_stats {
    unsigned long long interval_bytes;
    unsigned long long alloc_objects, alloc_bytes; /* since the start */
    unsigned long long live_objects, live_bytes;   /* not freed */
    unsigned long long alloc_bytes_margin, live_bytes_margin; /* estimate +- margin holds the truth 95 times in 100 */
    unsigned long long samples, live_samples, stacks;
    unsigned long long own_bytes; /* memory that cgoheap has mapped for its tables */
    unsigned long long go_frames; /* 0 not asked for, 1 joined, 2 the check at start failed */
    unsigned long long interpose; /* what go/interpose captures: enum cgoheap_interpose_state of cgoheap_backing.h */
    /* lost, cut or corrected, by reason */
    unsigned long long samples_no_memory, samples_lock_busy, stacks_table_full, frees_lock_busy, frees_unseen;
    unsigned long long stacks_too_deep, stacks_no_unwind_info, stacks_bad_unwind_info, stacks_unreadable;
    unsigned long long stacks_go_system, stacks_go_off, stacks_bad_go, stacks_no_room, modules_table_full;
    unsigned long long own_memory_refused;
    unsigned long long peak_bytes; /* the highest live_bytes so far, to 1 part in 256 */
    long long peak_time_nanos;     /* when that was, since the epoch; 0: nothing sampled yet */
    unsigned long long live_bytes_in_doubt; /* of live_bytes, may have been freed past the hooks; live_bytes_margin includes it */
};

/* Counts allocations and requested bytes exactly, by all threads, without stacks, while *running is not 0 (null: always).
   Setting *mark to 0 sets the count to 0; its topmost bit is cgoheap's between start and stop (null: never). Both must stay
   valid until the stop. Nothing is sampled until all counts have been stopped.
   CGOHEAP_ERR_ARGUMENT: more than 16 counts at a time, a mark that another count has, a count that is not running, or
   sampling is off for good because another allocator owns part of malloc's family. */
int cgoheap_start_count(const unsigned char *running, unsigned long long *mark, int *count);
int cgoheap_stop_count(int count, unsigned long long *objects, unsigned long long *bytes);

/* Writes at most `size` bytes of the current totals to `out`; pass sizeof(struct cgoheap_stats). */
int cgoheap_read_stats(struct cgoheap_stats *out, size_t size);

/* Writes a gzipped pprof profile to `path`, mode 0600. A file is written under another name in the same folder and renamed,
   so that it is there as a whole or not at all; a device or a pipe is written to as it is. Go addresses stay unnamed: from
   Go, use the Go package. */
int cgoheap_write_profile(const char *path);

/* Dumps: profiles that are written by themselves when the environment asks for it, CGOHEAP=dump=PREFIX with limit=BYTES,
   grow=FACTOR or signal=SIGUSR2; see docs/dumps.md. A Go program needs none of these functions.

   cgoheap_dump_start starts a thread that dumps by limit= and grow= in a program without Go; all signals are blocked in it.
   CGOHEAP_ERR_ARGUMENT when neither is asked for, or when it runs already. The child of a fork has no such thread, and may
   start its own. */
int cgoheap_dump_start(void);

/* Used by the Go package: it asks what the environment says, then waits, makes a profile and stores it, for ever. */
enum cgoheap_dump_reason { CGOHEAP_DUMP_LIMIT = 0, CGOHEAP_DUMP_GROW = 1, CGOHEAP_DUMP_SIGNAL = 2 };

/* Sets `*automatic` to whether limit= or grow= was given, and `*signal` to the number of the signal, 0 for none. Says on
   stderr when dumps are asked for and could not be written. */
int cgoheap_dump_asked(int *automatic, int *signal);

/* Blocks the calling thread until live memory has passed the next threshold; `*reason` says of which kind. One thread. */
int cgoheap_dump_wait(int *reason);

/* Writes `length` bytes to the next file, removes old ones, sets the next threshold, and says so on stderr. Null bytes: no
   profile could be made; only the threshold is set. */
int cgoheap_dump_store(const void *bytes, size_t length, int reason);

/* ------------------------------------------------------------------------------- snapshots: used by the Go package

   take -> go_pcs -> (name them in Go) -> name_go -> encode -> buffer_free, free

   A snapshot belongs to its taker until cgoheap_snapshot_free; it may be used by one thread at a time. */
typedef struct cgoheap_snapshot cgoheap_snapshot;

/* A copy of the tables; NULL when memory is short. */
cgoheap_snapshot *cgoheap_snapshot_take(void);

/* Which live blocks a snapshot takes in: allocated since a mark (0: all), and of an age in nanoseconds between the two
   (0 and -1: all). */
enum cgoheap_filter_flags {
    CGOHEAP_FILTER_BY_AGE = 1, /* samples carry the label "age": each stack is there once for each class of age */
    CGOHEAP_FILTER_PEAK = 2    /* what was live when live memory was highest so far, and nothing else is asked for */
};
struct cgoheap_filter {
    unsigned int since_mark;
    unsigned int flags; /* of enum cgoheap_filter_flags */
    unsigned long long min_age_nanos, max_age_nanos;
};

/* A copy of the live blocks that pass; their alloc values are their inuse values. Null when memory is short, or when the
   filter asks for the peak and for more. */
cgoheap_snapshot *cgoheap_snapshot_take_filtered(const struct cgoheap_filter *filter);

/* Draws a line: blocks sampled from now on pass a filter with this mark, earlier ones don't. Never 0. */
unsigned int cgoheap_mark(void);
void cgoheap_snapshot_free(cgoheap_snapshot *snapshot); /* null is allowed */

/* Turns `later` into the difference later - earlier, with the time between them as duration. */
int cgoheap_snapshot_subtract(cgoheap_snapshot *later, const cgoheap_snapshot *earlier);

/* For scrapers: alloc values since `earlier` (null: since the start), inuse values as they are; nothing is negative. */
int cgoheap_snapshot_since(cgoheap_snapshot *later, const cgoheap_snapshot *earlier);

/* A copy of the values alone, small enough to keep as an `earlier`; NULL when memory is short. */
cgoheap_snapshot *cgoheap_snapshot_values(const cgoheap_snapshot *snapshot);

/* Keeps the `count` stacks with most bytes in use, then most bytes allocated, and adds up the rest as one, "[other]". */
int cgoheap_snapshot_limit(cgoheap_snapshot *snapshot, size_t count);

/* Totals of one stack; a stack keeps its number as long as the process runs. */
struct cgoheap_stack {
    unsigned int id;
    long long alloc_objects, alloc_bytes, inuse_objects, inuse_bytes;
};

/* The stacks with most bytes in use that pass the filter, largest first: at most `capacity` of them, returns how many.
   Alloc values are those since the start, whatever the filter. Cheaper than a snapshot. None of the peak. */
size_t cgoheap_largest_stacks(const struct cgoheap_filter *filter, struct cgoheap_stack *out, size_t capacity);

/* Keeps the stacks with these numbers only. */
int cgoheap_snapshot_keep(cgoheap_snapshot *snapshot, const unsigned int *ids, size_t count);

/* The stacks of a snapshot, in the order in which CGOHEAP_FORMAT_EACH writes them: at most `capacity`, returns how many
   there are. */
size_t cgoheap_snapshot_stacks(const cgoheap_snapshot *snapshot, struct cgoheap_stack *out, size_t capacity);

/* Where cgoheap's own mappings are: start and bytes of each. At most `capacity`, returns how many it wrote. */
struct cgoheap_range {
    unsigned long long start, bytes;
};
size_t cgoheap_own_ranges(struct cgoheap_range *out, size_t capacity);

/* The distinct Go return addresses of the snapshot, ascending: `*pcs` points to `*count` of them, until the snapshot
   is freed. */
int cgoheap_snapshot_go_pcs(const cgoheap_snapshot *snapshot, const unsigned long long **pcs, size_t *count);

/* Names for them, in the same order, as one block of little-endian 32-bit words (copied):

     n_strings, then for each string: length in bytes, then the bytes, padded with zeros to a multiple of 4
     n_pcs (as many as cgoheap_snapshot_go_pcs gave), then for each: n_frames, and per frame, innermost first, four
     words: function (index of string), file (index of string), line, first line of the function

   A malformed block is refused with CGOHEAP_ERR_ARGUMENT and changes nothing. */
int cgoheap_snapshot_name_go(cgoheap_snapshot *snapshot, const void *table, size_t length);

enum cgoheap_format {
    CGOHEAP_FORMAT_PROTO = 0, /* gzipped profile.proto */
    CGOHEAP_FORMAT_TEXT = 1,  /* what debug=1 shows; `go tool pprof` reads it too */
    CGOHEAP_FORMAT_EACH = 2   /* as PROTO, one sample for each of cgoheap_snapshot_stacks, even where two look alike */
};

/* Names the C addresses, encodes, and hands out `*length` bytes at `*bytes`, to be given back to cgoheap_buffer_free.
   Takes no lock that a hook could wait for. */
int cgoheap_snapshot_encode(const cgoheap_snapshot *snapshot, int format, unsigned char **bytes, size_t *length);
void cgoheap_buffer_free(unsigned char *bytes, size_t length);

/* ------------------------------------------------------------------------------------ joining Go frames to C stacks */

/* What one Go-to-C call saw of itself. Called from Go through cgo; Go checks the addresses by name and hands the struct
   back to cgoheap_go_join. */
struct cgoheap_go_probe {
    unsigned long long boundary;     /* return address into runtime.asmcgocall */
    unsigned long long callback;     /* return address into crosscall2; 0 when the probe ran without a callback */
    unsigned long long n_pcs;        /* Go return addresses found, innermost first */
    unsigned long long pcs[64];
};

/* Fills `out` from the stack of the calling thread. CGOHEAP_ERR_GO_LAYOUT when no boundary was found,
   CGOHEAP_ERR_NO_TABLES when there was no way to it. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* g++: "hides constructor", since struct and function share a name */
#endif
int cgoheap_go_probe(struct cgoheap_go_probe *out);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* Accepts a probe that Go has checked: from now on stacks are followed into Go. */
int cgoheap_go_join(const struct cgoheap_go_probe *probe);

/* Go's check failed: Go frames stay off, and the stats say so. */
void cgoheap_go_refuse(void);

/* ---------------------------------------------------------------------------------------------------------- hooks

   Each function below does what libc's function of that name does, results and errno included, and records the block. The
   forms with `_at` also take the place of the call, which becomes the leaf of the profile, exact in a stripped binary too.
   `file` and `func` are read during the call only. A null `file` means no place known.
   A block may be freed by cgoheap_free, by plain free, or by realloc of either kind. */

#if defined(__cplusplus) && __cplusplus >= 201103L
#define CGOHEAP_NOTHROW noexcept
#elif defined(__cplusplus)
#define CGOHEAP_NOTHROW throw()
#elif defined(__GNUC__)
#define CGOHEAP_NOTHROW __attribute__((__nothrow__))
#else
#define CGOHEAP_NOTHROW
#endif

#if defined(__GNUC__)
#define CGOHEAP_ATTRIBUTE(list) __attribute__(list)
#else
#define CGOHEAP_ATTRIBUTE(list)
#endif

void *cgoheap_malloc(size_t size) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(1)));
void *cgoheap_calloc(size_t count, size_t size) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(1, 2)));
void *cgoheap_realloc(void *block, size_t size) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__alloc_size__(2)));
void *cgoheap_reallocarray(void *block, size_t count, size_t size) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__alloc_size__(2, 3)));
void cgoheap_free(void *block) CGOHEAP_NOTHROW;
char *cgoheap_strdup(const char *text) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__malloc__, __nonnull__(1)));
char *cgoheap_strndup(const char *text, size_t size) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__malloc__, __nonnull__(1)));
wchar_t *cgoheap_wcsdup(const wchar_t *text) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__malloc__, __nonnull__(1)));
int cgoheap_posix_memalign(void **out, size_t alignment, size_t size) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__nonnull__(1)));
void *cgoheap_aligned_alloc(size_t alignment, size_t size) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(2), __alloc_align__(1)));
void *cgoheap_memalign(size_t alignment, size_t size) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(2), __alloc_align__(1)));
void *cgoheap_valloc(size_t size) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(1)));
void *cgoheap_pvalloc(size_t size) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__malloc__));
size_t cgoheap_malloc_usable_size(void *block) CGOHEAP_NOTHROW;
int cgoheap_asprintf(char **out, const char *format, ...) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__format__(__printf__, 2, 3)));

void *cgoheap_malloc_at(size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(1)));
void *cgoheap_calloc_at(size_t count, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(1, 2)));
void *cgoheap_realloc_at(void *block, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__alloc_size__(2)));
void *cgoheap_reallocarray_at(void *block, size_t count, size_t size, const char *file, int line,
                              const char *func) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__alloc_size__(2, 3)));
char *cgoheap_strdup_at(const char *text, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __nonnull__(1)));
char *cgoheap_strndup_at(const char *text, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __nonnull__(1)));
wchar_t *cgoheap_wcsdup_at(const wchar_t *text, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __nonnull__(1)));
int cgoheap_posix_memalign_at(void **out, size_t alignment, size_t size, const char *file, int line,
                              const char *func) CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__nonnull__(1)));
void *cgoheap_aligned_alloc_at(size_t alignment, size_t size, const char *file, int line,
                               const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(2), __alloc_align__(1)));
void *cgoheap_memalign_at(size_t alignment, size_t size, const char *file, int line,
                          const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(2), __alloc_align__(1)));
void *cgoheap_valloc_at(size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__malloc__, __alloc_size__(1)));
int cgoheap_asprintf_at(const char *file, int line, const char *func, char **out, const char *format, ...)
    CGOHEAP_NOTHROW CGOHEAP_ATTRIBUTE((__format__(__printf__, 5, 6)));

#if defined(__GNUC__) /* va_list without <stdarg.h>, whose macros a program may not want */
int cgoheap_vasprintf(char **out, const char *format, __builtin_va_list arguments) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__format__(__printf__, 2, 0)));
int cgoheap_vasprintf_at(const char *file, int line, const char *func, char **out, const char *format,
                         __builtin_va_list arguments) CGOHEAP_NOTHROW
    CGOHEAP_ATTRIBUTE((__format__(__printf__, 5, 0)));
#endif

#undef CGOHEAP_NOTHROW
#undef CGOHEAP_ATTRIBUTE

#ifdef __cplusplus
}
#endif

/* ------------------------------------------------------------------------------------------------------ redirection

   Unless CGOHEAP_NO_REDIRECT is defined, two things happen to the names malloc, calloc, realloc, reallocarray, strdup,
   strndup, wcsdup, posix_memalign, aligned_alloc, memalign and valloc from here to the end of the file being compiled:

   1. Labels (cgoheap_labels.h). The libc functions keep their names in C, but the compiler emits calls of
      cgoheap_malloc and so on. So `&malloc`, `(malloc)(n)`, a struct member filled with malloc, and inline functions
      of headers are all seen, and `free` and `malloc_usable_size` need no macro: members and methods with these names
      are left alone. The compiler may still leave out an allocation that it finds useless, as without labels.
   2. Macros. A call by name becomes a call of the `_at` form with its place added. Arguments are evaluated once, and
      the result is an ordinary call expression. A call with another number of arguments than libc's function takes is
      passed through as written: `allocator.malloc(ctx, n)` compiles.

   asprintf and vasprintf have the macro only: with _FORTIFY_SOURCE libc defines them inline, out of a label's reach.

   A macro named malloc would mangle libc's own prototypes if it came before them, and `-include` does come before.
   Including libc's headers from here would be no help: that fixes the feature macros (_GNU_SOURCE, _POSIX_C_SOURCE,
   _FILE_OFFSET_BITS) before the file can define them. So this folder, which the compiler searches first, holds
   headers named stdlib.h, string.h, wchar.h, stdio.h, malloc.h, mm_malloc.h, cstdlib and cmath, which set the macros aside,
   include libc's header (#include_next) and put the macros back; without this header they do nothing.

   What does not compile, and what to do:
     - `x.malloc(n)`, a member with as many arguments as libc's: write `(x.malloc)(n)`, or `#undef malloc` in that file
       (its calls are still seen, by address instead of by place);
     - a declaration or definition of a function with one of the names, also as a C++ method (QString::asprintf,
       jemalloc.h): define CGOHEAP_NO_REDIRECT for that file, or give it a folder of its own without `-include`.
   With CGOHEAP_NO_REDIRECT all functions above can still be called by their own names.
   Where cgoheap doesn't run, nothing is redirected. */
#include "cgoheap_platform.h"

#if defined(CGOHEAP_SUPPORTED) && !defined(CGOHEAP_NO_REDIRECT)
#define CGOHEAP_REDIRECTS 1

#include "cgoheap_labels.h"
#include "cgoheap_count.h"

#if defined(CGOHEAP_OPTIONAL) && !defined(__clang__) /* clang's labels rename libc's functions in the whole object file */
#include "cgoheap_optional.h"
#endif

/* Not __LINE__, which gives the last line of a call several lines long (with clang both do); not __func__, which C++
   lacks in an initialiser outside of functions. */
#define CGOHEAP_PLACE __FILE__, __builtin_LINE(), __builtin_FUNCTION()

#define CGOHEAP_SITED(name, ...) cgoheap_##name##_at(__VA_ARGS__, CGOHEAP_PLACE)
#define CGOHEAP_PLAIN(name, ...) name(__VA_ARGS__)

/* libc's own macros, as for asprintf with _FORTIFY_SOURCE, give way */
#undef malloc
#undef calloc
#undef realloc
#undef reallocarray
#undef strdup
#undef strndup
#undef wcsdup
#undef posix_memalign
#undef aligned_alloc
#undef memalign
#undef valloc
#undef asprintf
#undef vasprintf

#define malloc(...) CGOHEAP_IF_1(__VA_ARGS__)(malloc, __VA_ARGS__)
#define calloc(...) CGOHEAP_IF_2(__VA_ARGS__)(calloc, __VA_ARGS__)
#define realloc(...) CGOHEAP_IF_2(__VA_ARGS__)(realloc, __VA_ARGS__)
#define reallocarray(...) CGOHEAP_IF_3(__VA_ARGS__)(reallocarray, __VA_ARGS__)
#define strdup(...) CGOHEAP_IF_1(__VA_ARGS__)(strdup, __VA_ARGS__)
#define strndup(...) CGOHEAP_IF_2(__VA_ARGS__)(strndup, __VA_ARGS__)
#define wcsdup(...) CGOHEAP_IF_1(__VA_ARGS__)(wcsdup, __VA_ARGS__)
#define posix_memalign(...) CGOHEAP_IF_3(__VA_ARGS__)(posix_memalign, __VA_ARGS__)
#define aligned_alloc(...) CGOHEAP_IF_2(__VA_ARGS__)(aligned_alloc, __VA_ARGS__)
#define memalign(...) CGOHEAP_IF_2(__VA_ARGS__)(memalign, __VA_ARGS__)
#define valloc(...) CGOHEAP_IF_1(__VA_ARGS__)(valloc, __VA_ARGS__)
#define asprintf(...) cgoheap_asprintf_at(CGOHEAP_PLACE, __VA_ARGS__)
#define vasprintf(...) cgoheap_vasprintf_at(CGOHEAP_PLACE, __VA_ARGS__)

#ifdef __cplusplus
namespace std { /* what `std::malloc(n)` turns into; free is std's own, by its label */
using ::cgoheap_aligned_alloc_at;
using ::cgoheap_calloc_at;
using ::cgoheap_malloc_at;
using ::cgoheap_realloc_at;
}
#endif

#endif /* redirection */

#endif /* CGOHEAP_H */
