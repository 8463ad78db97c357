#include "leaks.h"
#include <stdexcept>

char *volatile cpp_sink;

namespace variants {
struct Depot {
    __attribute__((noinline)) void keep(int size) {
        if (size < 0)
            throw std::invalid_argument("size");
        cpp_sink = new char[size];
    }
};
} // namespace variants

void cpp_leak(int n, int size) {
    variants::Depot depot;
    for (int i = 0; i < n; i++) {
        depot.keep(size);
        try {
            depot.keep(-1);
        } catch (const std::exception &) {
        }
    }
}
