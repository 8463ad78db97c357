/*
 * cgoheap: the C memory of a Go program, sampled, with C line and Go caller, at /debug/pprof/cgoheap.
 *
 * Include this header in a cgo preamble or a .c file, or give the compiler `-include cgoheap.h`: calls of malloc, free
 * and their relatives then go through the profiler. See the README for which way sees what.
 *
 * Conventions: sizes are in bytes; all functions may be called from any thread; strings that go in are copied; results
 * are negative errno-like codes of `enum cgoheap_result` only where it says so. Nothing here sets errno unless the
 * function that it stands for does.
 */
#ifndef CGOHEAP_H
#define CGOHEAP_H

#include <stddef.h> /* the compiler's own, which fixes no feature macros; <stdint.h> would */

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ control: for Go, Rust and C programs alike */

/* Version of this contract. The Go package refers to it by name, so that a stale archive fails to link. */
extern const unsigned int cgoheap_abi_1;

enum cgoheap_result {
    CGOHEAP_OK = 0,
    CGOHEAP_ERR_NULL = 1,      /* a pointer that must not be null is null */
    CGOHEAP_ERR_ARGUMENT = 2,  /* an argument is out of its range or malformed */
    CGOHEAP_ERR_NO_MEMORY = 3, /* the operating system gives no more memory */
    CGOHEAP_ERR_PANIC = 4,     /* a bug in cgoheap: the call did nothing; please report it */
    CGOHEAP_ERR_GO_LAYOUT = 5, /* Go's stacks are not laid out as expected: Go frames stay off */
    CGOHEAP_ERR_IO = 6         /* a file could not be written */
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
    unsigned long long samples, live_samples, stacks;
    unsigned long long own_bytes; /* memory that cgoheap has mapped for its tables */
    unsigned long long go_frames; /* 0 not asked for, 1 joined, 2 the check at start failed */
    /* lost, cut or mended, by reason */
    unsigned long long samples_no_memory, samples_lock_busy, stacks_table_full, frees_lock_busy, frees_unseen;
    unsigned long long stacks_too_deep, stacks_no_unwind_info, stacks_bad_unwind_info, stacks_unreadable;
    unsigned long long stacks_go_system, stacks_go_off, stacks_bad_go, modules_table_full;
};

/* Writes at most `size` bytes of the current totals to `out`; pass sizeof(struct cgoheap_stats). */
int cgoheap_read_stats(struct cgoheap_stats *out, size_t size);

/* Writes a gzipped pprof profile to `path` (created or truncated, mode 0600). Go addresses stay unnamed: from Go, use
   the Go package. */
int cgoheap_write_profile(const char *path);

/* --------------------------------------------------------------------- snapshots: the road that the Go package takes

   take -> go_pcs -> (name them in Go) -> name_go -> encode -> buffer_free, free

   A snapshot belongs to its taker until cgoheap_snapshot_free; it may be used by one thread at a time. */
typedef struct cgoheap_snapshot cgoheap_snapshot;

/* A copy of the tables; NULL when memory is short. */
cgoheap_snapshot *cgoheap_snapshot_take(void);
void cgoheap_snapshot_free(cgoheap_snapshot *snapshot); /* null is allowed */

/* Turns `later` into the difference later - earlier, with the time between them as duration. */
int cgoheap_snapshot_subtract(cgoheap_snapshot *later, const cgoheap_snapshot *earlier);

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
    CGOHEAP_FORMAT_TEXT = 1   /* what debug=1 shows; `go tool pprof` reads it too */
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

/* Fills `out` from the stack of the calling thread. CGOHEAP_ERR_GO_LAYOUT when no boundary was found. */
int cgoheap_go_probe(struct cgoheap_go_probe *out);

/* Accepts a probe that Go has checked: from now on stacks are followed into Go. */
int cgoheap_go_join(const struct cgoheap_go_probe *probe);

/* Go's check failed: Go frames stay off, and the stats say so. */
void cgoheap_go_refuse(void);

/* ---------------------------------------------------------------------------------------------------------- hooks */

/* REDIRECTION PART GOES HERE */

#ifdef __cplusplus
}
#endif
#endif /* CGOHEAP_H */
