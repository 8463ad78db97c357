#ifdef __cplusplus
extern "C" {
#endif
void *depot_build(int boxes);
void depot_destroy(void *shelf);
int depot_fail(int times);
void depot_threads(int threads, int n, int keep);
void depot_threads_free(void);
void depot_forms(void);
void depot_forms_free(void);
#ifdef __cplusplus
}
#endif
