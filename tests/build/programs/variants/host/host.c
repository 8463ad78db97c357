/* A C program that has the Go program as a library: opened by its name in argv[1], or linked (-DLINKED). */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef LINKED
extern int check(char *arguments);
#endif

int main(int argc, char **argv) {
    char *before = malloc(100); /* allocated before, freed after the library came */
#ifdef LINKED
    int (*run)(char *) = check;
#else
    void *library = dlopen(argv[1], RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    int (*run)(char *) = (int (*)(char *))dlsym(library, "check");
#endif
    free(before);
    char arguments[1000] = "";
    for (int i = 2; i < argc; i++) {
        strcat(arguments, argv[i]);
        strcat(arguments, " ");
    }
    return run(arguments);
}
