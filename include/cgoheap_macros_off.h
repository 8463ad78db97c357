/*
 * For the wrappers beside this file (stdlib.h, ...): set cgoheap's macros aside before libc declares what they hide.
 *
 * push_macro, not #undef and #define: a file may have undefined or replaced a macro of ours for itself, and must find
 * it so after the include. It is a stack, so wrappers may nest, as <malloc.h> includes <stdio.h>. Without cgoheap.h
 * in the same compilation nothing happens.
 */
#ifdef CGOHEAP_REDIRECTS
#pragma push_macro("malloc")
#undef malloc
#pragma push_macro("calloc")
#undef calloc
#pragma push_macro("realloc")
#undef realloc
#pragma push_macro("reallocarray")
#undef reallocarray
#pragma push_macro("strdup")
#undef strdup
#pragma push_macro("strndup")
#undef strndup
#pragma push_macro("wcsdup")
#undef wcsdup
#pragma push_macro("posix_memalign")
#undef posix_memalign
#pragma push_macro("aligned_alloc")
#undef aligned_alloc
#pragma push_macro("memalign")
#undef memalign
#pragma push_macro("valloc")
#undef valloc
#pragma push_macro("asprintf")
#undef asprintf
#pragma push_macro("vasprintf")
#undef vasprintf
#endif
