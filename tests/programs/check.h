/* What the test programs share. check.c is compiled by itself, without redirection: its own memory is not counted. */
#ifndef CHECK_H
#define CHECK_H

#include "cgoheap.h"
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NOINLINE __attribute__((noinline, noclone))

/* Ends the program with a message unless `condition` holds. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__);                               \
    } while (0)
void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

struct cgoheap_stats check_stats(void);

/* Since the last call: blocks and bytes that came (alloc) and that are live more than then; all samples were kept, and
   every free was seen. */
#define CHECK_CHANGE(alloc_objects, alloc_bytes, live_objects, live_bytes)                                             \
    check_change(__FILE__, __LINE__, alloc_objects, alloc_bytes, live_objects, live_bytes)
void check_change(const char *file, int line, long long alloc_objects, long long alloc_bytes, long long live_objects,
                  long long live_bytes);

/* Nothing was lost: no sample, no free. (Stacks may have been cut.) */
#define CHECK_NOTHING_LOST() check_nothing_lost(__FILE__, __LINE__)
void check_nothing_lost(const char *file, int line);

/* The text form of a profile, taken apart. */
struct check_stack {
    long long inuse_objects, inuse_bytes, alloc_objects, alloc_bytes;
    size_t n_pcs; /* return addresses, leaf first */
    unsigned long long pcs[300];
    size_t n_lines; /* leaf first; inlined functions have lines of their own */
    struct {
        const char *function, *place; /* "" when not known */
    } lines[400];
};
struct check_profile {
    const char *text;
    size_t n;
    struct check_stack *stacks;
};
struct check_profile *check_profile(void); /* never freed */

/* The one stack with that many bytes in use. */
const struct check_stack *check_stack_of(const struct check_profile *profile, long long inuse_bytes);

/* Line `index` of the stack is that function, in a file with this end, at this line (0: any). */
#define CHECK_LINE(stack, index, function, file, line) check_line(__FILE__, __LINE__, stack, index, function, file, line)
void check_line(const char *at_file, int at_line, const struct check_stack *stack, size_t index, const char *function,
                const char *file, int line);

/* Prints the stack to stderr. */
void check_show(const struct check_stack *stack);

/* A generator of numbers that are random enough to churn with. */
static inline unsigned check_random(unsigned long long *state) {
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(*state >> 33);
}

#ifdef __cplusplus
}
#endif
#endif
