/* Ways to leak C memory. The sizes are all different: a block is known by its size even in a stripped program. */
#ifdef __cplusplus
extern "C" {
#endif

void cpp_leak(int n, int size);     /* operator new[] */
int library_leak(const char *file, int n, int size); /* in a library opened here; -1: it can't be opened */
void callback_leak(int n, int size); /* C -> Go -> C -> malloc */
void inner_leak(int size);
void thread_leak(int n, int size); /* in a thread made by C */
int load(int rounds, unsigned seed); /* every function of the family, checked; wrong blocks */
#define EARLY_BLOCKS 1
#define EARLY_SIZE 8009 /* allocated before main */

#ifdef __cplusplus
}
#endif
