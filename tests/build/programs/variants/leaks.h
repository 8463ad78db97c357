/* Ways to leak C memory. The sizes are all different: a block is known by its size even in a stripped program. */
#ifdef __cplusplus
extern "C" {
#endif

void cpp_leak(int n, int size);     /* operator new[] */
int library_leak(const char *file, int n, int size); /* in a library opened here; -1: it can't be opened */
void callback_leak(int n, int size); /* C -> Go -> C -> malloc */
void inner_leak(int size);
void thread_leak(int n, int size); /* in a thread made by C */
void family_leak(int n); /* by each of malloc's relatives, of its own FAMILY_ size */
int load(int rounds, unsigned seed); /* every function of the family, checked; wrong blocks */
#define FAMILY_CALLOC 10007
#define FAMILY_REALLOC 10009
#define FAMILY_GROWN 10037
#define FAMILY_REALLOCARRAY 10039
#define FAMILY_POSIX_MEMALIGN 10061
#define FAMILY_ALIGNED_ALLOC 10256
#define FAMILY_MEMALIGN 10067
#define FAMILY_VALLOC 10069
#define FAMILY_PVALLOC 12288
#define FAMILY_STRDUP 10099
#define FAMILY_STRNDUP 10091
#define FAMILY_WCSDUP 10092 /* of letters of four bytes */
#define EARLY_BLOCKS 1
#define EARLY_SIZE 8009 /* allocated before main */

#ifdef __cplusplus
}
#endif
