// What only C++ has: std:: and :: forms, initialisers outside of functions, methods with our names, templates.
#ifndef INCLUDE_LATE
#include "cgoheap.h"
#endif
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <memory>
#include <string>
#include <utility>
#include <vector>

inline void *early_alloc(std::size_t n) { return n ? std::malloc(n) : nullptr; }
inline void early_free(void *p) { std::free(p); }

#ifdef INCLUDE_LATE
#include "cgoheap.h"
#endif
#include "stub.h"

static const int global_line = __LINE__ + 1;
static void *global = std::malloc(3);
static stub_call global_call = stub_last;

struct Pool {
    int freed = 0;
    void *(malloc)() { return this; }
    void *(malloc)(void *p, std::size_t) { return p; }
    void free(void *) { freed++; }
};

template <class A, class B> struct Size {
    static const std::size_t value = sizeof(std::pair<A, B>);
};

template <class T> T *make() {
    T *p = static_cast<T *>(malloc(sizeof(T)));
    CHECK(stub_last.line == __LINE__ - 1 && std::strncmp(stub_last.func, "make", 4) == 0); // g++: make<long int>
    return p;
}

namespace ours {
struct Buffer {
    void *block;
    Buffer() : block(std::malloc(9)) { EXPECT_SITED("malloc", "Buffer"); }
    ~Buffer() { std::free(block); }
};
}

int main() {
    CHECK(std::strcmp(global_call.hook, "malloc_at") == 0 && global_call.line == global_line);
    CHECK(std::strcmp(global_call.file, __FILE__) == 0);
    free(global); EXPECT_PLAIN("free");

    void *p = std::malloc(3); EXPECT_SITED("malloc", "main");
    p = std::realloc(p, 5); EXPECT_SITED("realloc", "main");
    std::free(p); EXPECT_PLAIN("free");
    p = ::malloc(3); EXPECT_SITED("malloc", "main");
    p = ::realloc(p, 5); EXPECT_SITED("realloc", "main");
    ::free(p); EXPECT_PLAIN("free");
    p = std::calloc(3, 5); EXPECT_SITED("calloc", "main");
    std::free(p);
    p = ::strdup("abc"); EXPECT_SITED("strdup", "main");
    std::free(p);
#if __cplusplus >= 201703L
    p = std::aligned_alloc(64, 128); EXPECT_SITED("aligned_alloc", "main");
    std::free(p);
#endif
    {
        using std::malloc;
        p = malloc(3); EXPECT_SITED("malloc", "main");
    }
    std::unique_ptr<void, decltype(&std::free)> owner(p, &std::free);
    owner.reset(); EXPECT_PLAIN("free");
    std::unique_ptr<void, void (*)(void *)> caller(malloc(4), free);
    caller.reset(); EXPECT_PLAIN("free");

    auto lambda = [](std::size_t n) { return std::malloc(n); }; int lambda_line = __LINE__;
    p = lambda(3);
    CHECK(stub_last.line == lambda_line && std::strcmp(stub_last.func, "operator()") == 0);
    std::free(p);
    std::free(make<long>());
    { ours::Buffer buffer; }
    EXPECT_PLAIN("free");

    // A comma that the preprocessor takes for one between arguments: seen, without place.
    p = stub_keep(malloc(Size<int, long>::value)); EXPECT_PLAIN("malloc");
    std::free(p);

    Pool pool;
    int calls = stub_calls;
    CHECK(pool.malloc() == &pool && pool.malloc(&calls, 3) == &calls);
    pool.free(&pool);
    CHECK(pool.freed == 1 && stub_calls == calls);

    p = stub_keep(early_alloc(3));
    CHECK(std::strncmp(stub_last.hook, "malloc", 6) == 0);
    early_free(p); EXPECT_PLAIN("free");
    std::vector<std::string> strings(3, "abc");
    CHECK(strings.size() == 3);
    return stub_failures != 0;
}
