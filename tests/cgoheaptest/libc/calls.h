/* Calls of libc's functions, each with its name. */
struct call {
    const char *name;
    void (*run)(void);
};

extern const struct call keeps[], hands_out[];
extern const int n_keeps, n_hands_out;

/* Starts n threads, one after the other, and waits for each. */
void libc_threads(int n);
