// A shared library that throws, and frees what it must on the way.
struct Witness {
    int &count;
    ~Witness() { count++; }
};

extern "C" void library_throw(int *unwound) {
    Witness witness{*unwound};
    throw 42;
}
