//! Compiles what Rust can't define: the variadic functions, and the weak table of real functions.

fn main() {
    if std::env::var_os("CARGO_FEATURE_TABLES").is_none() {
        return; // the archive has it
    }
    for file in ["src/hook/variadic.c", "src/hook/real.c", "include/cgoheap_real.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
    cc::Build::new()
        .file("src/hook/variadic.c")
        .file("src/hook/real.c")
        .include("include")
        .define("CGOHEAP_NO_REDIRECT", None) // our own C code calls the real functions
        .flag("-fno-omit-frame-pointer") // the caller's registers are found through the frame
        .flag("-fno-lto")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("cgoheap_c");
}
