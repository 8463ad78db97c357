#include <cstdlib>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "depot.h"

namespace depot {

struct Box {
    char content[100];
};

struct Shelf {
    std::vector<std::unique_ptr<Box>> boxes;
    __attribute__((noinline)) void add() { boxes.push_back(std::make_unique<Box>()); }
};

template <typename T> __attribute__((noinline)) T *build(int boxes) {
    T *shelf = new T;
    shelf->boxes.reserve(boxes);
    for (int i = 0; i < boxes; i++)
        shelf->add();
    return shelf;
}

__attribute__((noinline)) void fail(int depth) {
    std::string text(200, 'x'); /* freed by the unwinding */
    if (depth == 0)
        throw std::runtime_error(text);
    fail(depth - 1);
}

__attribute__((noinline)) void work(std::vector<int *> *kept, int n) {
    std::map<int, std::string> map; /* freed at the thread's end */
    for (int i = 0; i < n; i++) {
        map[i] = std::string(100, 'y');
        if (kept != nullptr)
            kept->push_back(new int[64]);
    }
}

} // namespace depot

extern "C" {

void *depot_build(int boxes) { return depot::build<depot::Shelf>(boxes); }
void depot_destroy(void *shelf) { delete static_cast<depot::Shelf *>(shelf); }

int depot_fail(int times) {
    int caught = 0;
    for (int i = 0; i < times; i++) {
        try {
            depot::fail(20);
        } catch (const std::exception &) {
            caught++;
        }
    }
    return caught;
}

static std::vector<std::vector<int *>> *kept;

void depot_threads(int threads, int n, int keep) {
    std::vector<std::thread> running;
    kept = new std::vector<std::vector<int *>>(threads);
    for (int i = 0; i < threads; i++)
        running.emplace_back(depot::work, keep ? &(*kept)[i] : nullptr, n);
    for (auto &thread : running)
        thread.join();
}

void depot_threads_free() {
    for (auto &part : *kept)
        for (int *block : part)
            delete[] block;
    delete kept;
    kept = nullptr;
}

/* Each of C++'s forms of new that we can name; the aligned ones come through aligned_alloc. */
struct alignas(128) Wide {
    char bytes[256];
};
static void *forms[4];
void depot_forms() {
    forms[0] = new (std::nothrow) char[1000];
    forms[1] = new Wide;
    forms[2] = new Wide[2];
    forms[3] = ::operator new(77);
}
void depot_forms_free() {
    delete[] static_cast<char *>(forms[0]);
    delete static_cast<Wide *>(forms[1]);
    delete[] static_cast<Wide *>(forms[2]);
    ::operator delete(forms[3]);
}
}
