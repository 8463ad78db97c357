//! Compiles the variadic functions, which Rust can't define.

fn main() {
    println!("cargo::rerun-if-changed=src/hook/variadic.c");
    cc::Build::new()
        .file("src/hook/variadic.c")
        .flag("-fno-omit-frame-pointer") // the caller's registers are found through the frame
        .flag("-fno-lto")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("cgoheap_variadic");
}
