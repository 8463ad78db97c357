/*
 * For cgoheap.h: what its calls do in a program that cgoheap is not linked into.
 *
 * With the header in CGO_CPPFLAGS every cgo package that is built in that shell sees it: also those of a program that doesn't
 * import cgoheap, `go tool pprof` for example, which Go builds at its first use, and runtime/cgo itself. So each object file
 * brings the functions that it may call, as weak definitions that call libc's. In a program with cgoheap the archive's
 * replace them, at no cost: the calls are the same instructions.
 *
 * Only with -DCGOHEAP_OPTIONAL: a weak definition doesn't fetch an archive, as the import of package cgoheap does, and with
 * -flto gcc takes the weak definition for the only one.
 */
#pragma GCC system_header

/* Real names of libc's functions: those without have the labels' meaning from here on. */
#define CGOHEAP_LIBC(name) __asm__(#name)
#define CGOHEAP_WEAK __attribute__((__weak__, __visibility__("default")))
#if defined(__cplusplus) && __cplusplus >= 201103L
#define CGOHEAP_NOTHROW noexcept
#elif defined(__cplusplus)
#define CGOHEAP_NOTHROW throw()
#else
#define CGOHEAP_NOTHROW
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern void *cgoheap_libc_malloc(size_t) CGOHEAP_LIBC(malloc);
extern void *cgoheap_libc_calloc(size_t, size_t) CGOHEAP_LIBC(calloc);
extern void *cgoheap_libc_realloc(void *, size_t) CGOHEAP_LIBC(realloc);
extern void cgoheap_libc_free(void *) CGOHEAP_LIBC(free);
extern char *cgoheap_libc_strdup(const char *) CGOHEAP_LIBC(strdup);
extern char *cgoheap_libc_strndup(const char *, size_t) CGOHEAP_LIBC(strndup);
extern wchar_t *cgoheap_libc_wcsdup(const wchar_t *) CGOHEAP_LIBC(wcsdup);
extern int cgoheap_libc_posix_memalign(void **, size_t, size_t) CGOHEAP_LIBC(posix_memalign);
extern void *cgoheap_libc_aligned_alloc(size_t, size_t) CGOHEAP_LIBC(aligned_alloc);
extern void *cgoheap_libc_memalign(size_t, size_t) CGOHEAP_LIBC(memalign);
extern void *cgoheap_libc_valloc(size_t) CGOHEAP_LIBC(valloc);
extern size_t cgoheap_libc_malloc_usable_size(void *) CGOHEAP_LIBC(malloc_usable_size);
extern int cgoheap_libc_vasprintf(char **, const char *, __builtin_va_list) CGOHEAP_LIBC(vasprintf);

CGOHEAP_WEAK void *cgoheap_malloc(size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_malloc(size);
}

CGOHEAP_WEAK void *cgoheap_malloc_at(size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_malloc(size);
}

CGOHEAP_WEAK void *cgoheap_calloc(size_t count, size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_calloc(count, size);
}

CGOHEAP_WEAK void *cgoheap_calloc_at(size_t count, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_calloc(count, size);
}

CGOHEAP_WEAK void *cgoheap_realloc(void *block, size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_realloc(block, size);
}

CGOHEAP_WEAK void *cgoheap_realloc_at(void *block, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_realloc(block, size);
}

CGOHEAP_WEAK void *cgoheap_reallocarray(void *block, size_t count, size_t size) CGOHEAP_NOTHROW {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return cgoheap_libc_calloc(count, size); /* fails, with the right errno */
    return cgoheap_libc_realloc(block, bytes);
}

CGOHEAP_WEAK void *cgoheap_reallocarray_at(void *block, size_t count, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return cgoheap_libc_calloc(count, size); /* fails, with the right errno */
    return cgoheap_libc_realloc(block, bytes);
}

CGOHEAP_WEAK void cgoheap_free(void *block) CGOHEAP_NOTHROW {
    cgoheap_libc_free(block);
}

CGOHEAP_WEAK char *cgoheap_strdup(const char *text) CGOHEAP_NOTHROW {
    return cgoheap_libc_strdup(text);
}

CGOHEAP_WEAK char *cgoheap_strdup_at(const char *text, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_strdup(text);
}

CGOHEAP_WEAK char *cgoheap_strndup(const char *text, size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_strndup(text, size);
}

CGOHEAP_WEAK char *cgoheap_strndup_at(const char *text, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_strndup(text, size);
}

CGOHEAP_WEAK wchar_t *cgoheap_wcsdup(const wchar_t *text) CGOHEAP_NOTHROW {
    return cgoheap_libc_wcsdup(text);
}

CGOHEAP_WEAK wchar_t *cgoheap_wcsdup_at(const wchar_t *text, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_wcsdup(text);
}

CGOHEAP_WEAK int cgoheap_posix_memalign(void **out, size_t alignment, size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_posix_memalign(out, alignment, size);
}

CGOHEAP_WEAK int cgoheap_posix_memalign_at(void **out, size_t alignment, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_posix_memalign(out, alignment, size);
}

CGOHEAP_WEAK void *cgoheap_aligned_alloc(size_t alignment, size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_aligned_alloc(alignment, size);
}

CGOHEAP_WEAK void *cgoheap_aligned_alloc_at(size_t alignment, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_aligned_alloc(alignment, size);
}

CGOHEAP_WEAK void *cgoheap_memalign(size_t alignment, size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_memalign(alignment, size);
}

CGOHEAP_WEAK void *cgoheap_memalign_at(size_t alignment, size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_memalign(alignment, size);
}

CGOHEAP_WEAK void *cgoheap_valloc(size_t size) CGOHEAP_NOTHROW {
    return cgoheap_libc_valloc(size);
}

CGOHEAP_WEAK void *cgoheap_valloc_at(size_t size, const char *file, int line, const char *func) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_valloc(size);
}

CGOHEAP_WEAK size_t cgoheap_malloc_usable_size(void *block) CGOHEAP_NOTHROW {
    return cgoheap_libc_malloc_usable_size(block);
}

CGOHEAP_WEAK int cgoheap_asprintf_at(const char *file, int line, const char *func, char **out, const char *format, ...)
    CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    __builtin_va_list arguments;
    __builtin_va_start(arguments, format);
    int length = cgoheap_libc_vasprintf(out, format, arguments);
    __builtin_va_end(arguments);
    return length;
}

CGOHEAP_WEAK int cgoheap_vasprintf_at(const char *file, int line, const char *func, char **out, const char *format,
                                      __builtin_va_list arguments) CGOHEAP_NOTHROW {
    (void)file, (void)line, (void)func;
    return cgoheap_libc_vasprintf(out, format, arguments);
}

#ifdef __cplusplus
}
#endif

#undef CGOHEAP_LIBC
#undef CGOHEAP_WEAK
#undef CGOHEAP_NOTHROW
