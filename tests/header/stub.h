/* The hooks of cgoheap.h over plain libc, noting the last call: linked by tests/header.rs in place of cgoheap. */
#ifndef STUB_H
#define STUB_H

#ifdef __cplusplus
extern "C" {
#endif

struct stub_call {
    const char *hook; /* "malloc" for cgoheap_malloc, "malloc_at" for cgoheap_malloc_at */
    const char *file, *func;
    int line;
};

extern struct stub_call stub_last;
extern int stub_calls; /* of any hook */
extern int stub_failures;

/* Its argument, in a way that keeps the compiler from leaving out an allocation together with its free. */
void *stub_keep(void *block);

/* Complains unless the last call was of `hook`, from `line` of `func`; a null `func` means a call without place. */
void stub_expect(int here, const char *hook, const char *file, int line, const char *func);

#ifdef __cplusplus
}
#endif

/* The call stood on this very line. */
#define EXPECT_SITED(hook, func) stub_expect(__LINE__, hook "_at", __FILE__, __LINE__, func)
#define EXPECT_PLAIN(hook) stub_expect(__LINE__, hook, 0, 0, 0)
#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            stub_failures++; \
        } \
    } while (0)

#endif
