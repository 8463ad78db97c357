/* Churn over a shared table of blocks: who takes a block out frees or moves it, whoever has made it. */
void stress_churn(unsigned seed, int rounds);
/* Churn beneath a chain of calls, which is another one for each value of path's depth lowest bits. */
void stress_descend(unsigned path, int depth, unsigned seed, int rounds);
/* Replaces large blocks by others of the same sizes, 48 KiB on average: count of them, from the first on. There are 4096, not in the table. */
void stress_replace_large(unsigned first, int count);
void stress_threads(int threads, int rounds); /* C threads that churn, come and go; returns when all are done */
void stress_stop(void);
void stress_live(long *objects, long *bytes); /* what is in the table; nobody may churn meanwhile */
void stress_free_all(void);
int stress_bad(void); /* blocks whose content was not what it should be */
int stress_library(const char *file, int times);
