/* Where cgoheap runs: the one place in the headers that names a platform. Elsewhere nothing is redirected. */
#if !defined(CGOHEAP_PLATFORM_H)
#define CGOHEAP_PLATFORM_H

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__)) && defined(__GNUC__)
#define CGOHEAP_SUPPORTED 1
#endif

#endif
