#define CGOHEAP_NO_REDIRECT
#include "check.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *file, int line, const char *condition, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: not so: %s ", file, line, condition);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _Exit(1);
}

struct cgoheap_stats check_stats(void) {
    struct cgoheap_stats stats;
    CHECK(cgoheap_read_stats(&stats, sizeof stats) == CGOHEAP_OK);
    return stats;
}

void check_nothing_lost(const char *file, int line) {
    struct cgoheap_stats now = check_stats();
    if (now.samples_no_memory | now.samples_lock_busy | now.stacks_table_full | now.frees_lock_busy | now.frees_unseen)
        check_failed(file, line, "nothing lost",
                     "no memory %llu, samples busy %llu, table full %llu, frees busy %llu, unseen %llu",
                     now.samples_no_memory, now.samples_lock_busy, now.stacks_table_full, now.frees_lock_busy,
                     now.frees_unseen);
}

void check_change(const char *file, int line, long long alloc_objects, long long alloc_bytes, long long live_objects,
                  long long live_bytes) {
    static struct cgoheap_stats before;
    struct cgoheap_stats now = check_stats();
    long long got[] = {(long long)(now.alloc_objects - before.alloc_objects),
                       (long long)(now.alloc_bytes - before.alloc_bytes),
                       (long long)(now.live_objects - before.live_objects),
                       (long long)(now.live_bytes - before.live_bytes)};
    long long want[] = {alloc_objects, alloc_bytes, live_objects, live_bytes};
    if (memcmp(got, want, sizeof got) != 0)
        check_failed(file, line, "change of alloc_objects, alloc_bytes, live_objects, live_bytes",
                     "got %lld %lld %lld %lld, want %lld %lld %lld %lld", got[0], got[1], got[2], got[3], want[0],
                     want[1], want[2], want[3]);
    if (now.interval_bytes == 1 && now.live_samples != now.live_objects)
        check_failed(file, line, "live samples", "are %llu, not %llu", now.live_samples, now.live_objects);
    check_nothing_lost(file, line);
    before = now;
}

/* The text up to `end`, cut off there; what follows is left at *rest. */
static char *cut(char *text, char end, char **rest) {
    char *at = strchr(text, end);
    *rest = at ? at + 1 : text + strlen(text);
    if (at) *at = 0;
    return text;
}

struct check_profile *check_profile(void) {
    cgoheap_snapshot *snapshot = cgoheap_snapshot_take();
    unsigned char *bytes;
    size_t length;
    CHECK(snapshot);
    CHECK(cgoheap_snapshot_encode(snapshot, CGOHEAP_FORMAT_TEXT, &bytes, &length) == CGOHEAP_OK);
    struct check_profile *profile = calloc(1, sizeof *profile);
    char *text = strndup((char *)bytes, length);
    profile->text = strdup(text);
    cgoheap_buffer_free(bytes, length);
    cgoheap_snapshot_free(snapshot);
    CHECK(strncmp(text, "heap profile: ", 14) == 0, "%s", text);
    char *line;
    cut(text, '\n', &text);
    for (struct check_stack *stack = NULL; *text;) {
        line = cut(text, '\n', &text);
        struct check_stack fresh = {0};
        int used = 0;
        if (strcmp(line, "MAPPED_LIBRARIES:") == 0) break;
        if (sscanf(line, "%lld: %lld [%lld: %lld] @%n", &fresh.inuse_objects, &fresh.inuse_bytes, &fresh.alloc_objects,
                   &fresh.alloc_bytes, &used) == 4 && used) {
            profile->stacks = reallocarray(profile->stacks, profile->n + 1, sizeof fresh);
            stack = &profile->stacks[profile->n++];
            *stack = fresh;
            for (char *end, *at = line + used; *at; at = end) {
                CHECK(stack->n_pcs < sizeof stack->pcs / sizeof *stack->pcs);
                stack->pcs[stack->n_pcs++] = strtoull(at, &end, 16);
            }
        } else if (stack && strncmp(line, "#\t", 2) == 0) {
            CHECK(stack->n_lines < sizeof stack->lines / sizeof *stack->lines);
            cut(line + 2, '\t', &line);
            stack->lines[stack->n_lines].function = cut(line, '\t', &line);
            stack->lines[stack->n_lines++].place = line;
        } else {
            stack = NULL;
        }
    }
    return profile;
}

const struct check_stack *check_stack_of(const struct check_profile *profile, long long inuse_bytes) {
    const struct check_stack *found = NULL;
    for (size_t i = 0; i < profile->n; i++) {
        if (profile->stacks[i].inuse_bytes != inuse_bytes) continue;
        CHECK(!found, "two stacks with %lld bytes:\n%s", inuse_bytes, profile->text);
        found = &profile->stacks[i];
    }
    CHECK(found, "no stack with %lld bytes:\n%s", inuse_bytes, profile->text);
    return found;
}

void check_show(const struct check_stack *stack) {
    fprintf(stderr, "%lld: %lld [%lld: %lld]\n", stack->inuse_objects, stack->inuse_bytes, stack->alloc_objects,
            stack->alloc_bytes);
    for (size_t i = 0; i < stack->n_pcs; i++) fprintf(stderr, " %#llx", stack->pcs[i]);
    fputc('\n', stderr);
    for (size_t i = 0; i < stack->n_lines; i++)
        fprintf(stderr, "  %s %s\n", stack->lines[i].function, stack->lines[i].place);
}

void check_line(const char *at_file, int at_line, const struct check_stack *stack, size_t index, const char *function,
                const char *file, int line) {
    char end[256];
    snprintf(end, sizeof end, line ? "%s:%d" : "%s:", file, line);
    if (index < stack->n_lines) {
        const char *place = stack->lines[index].place;
        size_t length = strlen(place), wanted = strlen(end);
        int same = line ? length >= wanted && strcmp(place + length - wanted, end) == 0 : strstr(place, end) != NULL;
        if (same && strcmp(stack->lines[index].function, function) == 0) return;
    }
    check_show(stack);
    check_failed(at_file, at_line, "the line of the profile", "%zu is %s %s", index, function, end);
}
