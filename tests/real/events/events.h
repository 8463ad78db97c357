/* What processes, threads, signals and stacks can do to a malloc. Each returns 0 when the program saw nothing unusual. */
int events_fork(int children);          /* fork without exec: the child allocates, frees the parent's, exits */
int events_fork_under_load(int children); /* the same while other threads allocate */
int events_vfork(int children);
int events_dlopen(const char *file, int times);
void *events_open(const char *file);
int events_call(void *library, int n, int size);
int events_close(void *library);
int events_destructors(int threads); /* thread-specific data whose destructors allocate, in several rounds */
int events_signals(int times, int size);    /* a handler on the alternate stack that allocates; every tenth block stays */
int events_signals_near(int times, int size, int above); /* the same on a stack close to the interrupted one */
void events_recurse(int depth, int n, int size);
int events_jit(int n, int size);      /* malloc called from code of no object */
int events_assembly(int n, int size); /* malloc called from a function without unwind information */
int events_no_memory(int times);      /* sizes that malloc must refuse */
int events_coroutine(int n, int size); /* makecontext: a stack that nobody knows */
int events_clone_thread(int times);   /* a thread by clone(CLONE_VM), with a stack and no libc */
long events_hoard(long room); /* small blocks until malloc refuses, within `room` more bytes of address space; how many */
