/*
 * For cgoheap.h: libc's functions under their own names, with our symbols. Works before and after libc's headers.
 *
 * Two ways, because neither does for both compilers (gcc 12 and clang 14 were tried):
 *   - an asm label on a redeclaration: gcc takes it at any time, also after uses; for clang it is an error after a
 *     first use, say in an inline function of a header that came before;
 *   - .set, by which the assembler renames the symbol in the whole object file: for clang. gcc with -flto may put it
 *     into another object file than the calls.
 * #pragma redefine_extname was tried too: g++ ignores it after the declaration, clang++ -g after <cstdlib>.
 *
 * A system header, so that -Wredundant-decls stays quiet. The exception specification is glibc's.
 */
#pragma GCC system_header

#if defined(__clang__)

__asm__(".set malloc, cgoheap_malloc");
__asm__(".set calloc, cgoheap_calloc");
__asm__(".set realloc, cgoheap_realloc");
__asm__(".set reallocarray, cgoheap_reallocarray");
__asm__(".set free, cgoheap_free");
__asm__(".set strdup, cgoheap_strdup");
__asm__(".set strndup, cgoheap_strndup");
__asm__(".set wcsdup, cgoheap_wcsdup");
__asm__(".set posix_memalign, cgoheap_posix_memalign");
__asm__(".set aligned_alloc, cgoheap_aligned_alloc");
__asm__(".set memalign, cgoheap_memalign");
__asm__(".set valloc, cgoheap_valloc");
__asm__(".set malloc_usable_size, cgoheap_malloc_usable_size");

#else

#ifdef __cplusplus
extern "C" {
#if __cplusplus >= 201103L
#define CGOHEAP_LABEL(symbol) noexcept __asm__(symbol)
#else
#define CGOHEAP_LABEL(symbol) throw() __asm__(symbol)
#endif
#else
#define CGOHEAP_LABEL(symbol) __asm__(symbol)
#endif

extern void *malloc(size_t) CGOHEAP_LABEL("cgoheap_malloc");
extern void *calloc(size_t, size_t) CGOHEAP_LABEL("cgoheap_calloc");
extern void *realloc(void *, size_t) CGOHEAP_LABEL("cgoheap_realloc");
extern void *reallocarray(void *, size_t, size_t) CGOHEAP_LABEL("cgoheap_reallocarray");
extern void free(void *) CGOHEAP_LABEL("cgoheap_free");
extern char *strdup(const char *) CGOHEAP_LABEL("cgoheap_strdup");
extern char *strndup(const char *, size_t) CGOHEAP_LABEL("cgoheap_strndup");
extern wchar_t *wcsdup(const wchar_t *) CGOHEAP_LABEL("cgoheap_wcsdup");
extern int posix_memalign(void **, size_t, size_t) CGOHEAP_LABEL("cgoheap_posix_memalign");
extern void *aligned_alloc(size_t, size_t) CGOHEAP_LABEL("cgoheap_aligned_alloc");
extern void *memalign(size_t, size_t) CGOHEAP_LABEL("cgoheap_memalign");
extern void *valloc(size_t) CGOHEAP_LABEL("cgoheap_valloc");
extern size_t malloc_usable_size(void *) CGOHEAP_LABEL("cgoheap_malloc_usable_size");

#undef CGOHEAP_LABEL
#ifdef __cplusplus
}
#endif

#endif
