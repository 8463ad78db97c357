/* Put back what cgoheap_macros_off.h has set aside. */
#ifdef CGOHEAP_REDIRECTS
#pragma pop_macro("malloc")
#pragma pop_macro("calloc")
#pragma pop_macro("realloc")
#pragma pop_macro("reallocarray")
#pragma pop_macro("strdup")
#pragma pop_macro("strndup")
#pragma pop_macro("wcsdup")
#pragma pop_macro("posix_memalign")
#pragma pop_macro("aligned_alloc")
#pragma pop_macro("memalign")
#pragma pop_macro("valloc")
#pragma pop_macro("asprintf")
#pragma pop_macro("vasprintf")
#endif
