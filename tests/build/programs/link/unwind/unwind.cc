// C++ exceptions across a shared library's border, and pthread_cancel, which unwinds with what libgcc_s.so.1 has: both as in
// a program without cgoheap, though the archive brings an unwinder of its own along.
#include <pthread.h>
#include <unistd.h>

extern "C" void library_throw(int *unwound);

extern "C" int unwind_throw(void) {
    int unwound = 0;
    try {
        library_throw(&unwound);
    } catch (int thrown) {
        return thrown == 42 && unwound == 1;
    }
    return 0;
}

static int cleaned;

static void *wait_for_ever(void *) {
    struct Cleaner {
        ~Cleaner() { cleaned = 1; }
    } cleaner;
    for (;;)
        pause();
    return nullptr;
}

extern "C" int unwind_cancel(void) {
    pthread_t thread;
    void *result;
    if (pthread_create(&thread, nullptr, wait_for_ever, nullptr) != 0 || pthread_cancel(thread) != 0 ||
        pthread_join(thread, &result) != 0)
        return 0;
    return result == PTHREAD_CANCELED && (cleaned == 1);
}
