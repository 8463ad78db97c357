void libc_threads(int n);
void libc_once(void);
int libc_forget(void);
