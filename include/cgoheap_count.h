/*
 * For cgoheap.h: CGOHEAP_IF_2(arguments) is CGOHEAP_SITED when there are exactly two of them, else CGOHEAP_PLAIN (up to
 * eight are told apart). A system header, since __VA_OPT__ is a warning in older standards elsewhere; where it is
 * missing altogether, `x.malloc()` counts as one argument and does not compile.
 */
#pragma GCC system_header

#if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 8)
#define CGOHEAP_ARGUMENTS(...) 0 __VA_OPT__(,) __VA_ARGS__
#else
#define CGOHEAP_ARGUMENTS(...) 0, __VA_ARGS__
#endif

#define CGOHEAP_PICK_(zero, one, two, three, four, five, six, seven, eight, picked, ...) CGOHEAP_##picked
#define CGOHEAP_PICK(...) CGOHEAP_PICK_(__VA_ARGS__)

#define CGOHEAP_IF_1(...) \
    CGOHEAP_PICK(CGOHEAP_ARGUMENTS(__VA_ARGS__), PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, SITED, PLAIN, )
#define CGOHEAP_IF_2(...) \
    CGOHEAP_PICK(CGOHEAP_ARGUMENTS(__VA_ARGS__), PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, SITED, PLAIN, PLAIN, )
#define CGOHEAP_IF_3(...) \
    CGOHEAP_PICK(CGOHEAP_ARGUMENTS(__VA_ARGS__), PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, SITED, PLAIN, PLAIN, PLAIN, )
