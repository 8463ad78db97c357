/* A C program with Go inside: the c-archive is linked, the c-shared library linked or opened (given as argument). */
#include <dlfcn.h>
#include <stdio.h>

#ifdef LINKED
int Check(void);
#endif

int main(int count, char **arguments) {
#ifdef LINKED
    (void)count, (void)arguments;
    return Check();
#else
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        fprintf(stderr, "dlopen: %s\n", dlerror());
        return 2;
    }
    int (*check)(void) = (int (*)(void))dlsym(library, "Check");
    return check == NULL ? 2 : check();
#endif
}
