// C++: allocations while an exception is on its way, in a handler, in a constructor, through std::sort and a lambda.
#define CGOHEAP_NO_REDIRECT
#include "reference.h"
#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static volatile int one = 1;

struct Cleanup {
    ~Cleanup() { WALK(2003); } // runs on top of the unwinder's own frames
};

struct Failure : std::runtime_error {
    Failure() : std::runtime_error("failure") { WALK(2011); }
};

static NOINLINE int thrower(int n) {
    Cleanup cleanup;
    if (n == one) throw Failure();
    return n;
}

static NOINLINE int catcher(int n) {
    try {
        return thrower(n);
    } catch (const std::exception &failure) {
        WALK(2017);
        return (int)std::string(failure.what()).size();
    }
}

template <class T> struct Box {
    virtual ~Box() = default;
    virtual NOINLINE T open(T value) {
        WALK(2027);
        return value + one;
    }
};

int main() {
    cgoheap_set_rate(1);
    CHECK(catcher(1) == 7);
    std::vector<int> numbers{3, 1, 2};
    bool first = true;
    std::sort(numbers.begin(), numbers.end(), [&](int a, int b) {
        if (first) WALK(2029);
        first = false;
        return a < b;
    });
    Box<long> box;
    std::function<long(long)> open = [&](long n) { return box.open(n); };
    CHECK(open(4) == 5);
    std::thread([] { WALK(2039); }).join();

    compare_walks(6);
    const check_stack *stack = check_stack_of(check_profile(), 2027);
    CHECK_LINE(stack, 0, "Box<long>::open(long)", "unwind.cpp", 0);
    check_stack_of(check_profile(), 2003);
    cgoheap_stats now = check_stats();
    CHECK(now.stacks_no_unwind_info + now.stacks_bad_unwind_info + now.stacks_unreadable + now.stacks_too_deep == 0);
}
