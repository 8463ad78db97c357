//! Compiles what Rust can't define: the variadic functions, the weak table of backing functions, and weak references.

use std::env::{var, var_os};

fn main() {
    if var_os("CARGO_FEATURE_TABLES").is_none() {
        return; // the archive has it
    }
    // A processor's folder says how C code finds its caller's registers.
    let processor = format!("src/sys/arch/{}", var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
    // A C library's, what not every version of it has.
    let library = match var("CARGO_CFG_TARGET_ENV").expect("cargo sets it").as_str() {
        "gnu" => "src/sys/libc/glibc/newer.c",
        other => panic!("cgoheap has no folder in src/sys/libc for {other}; src/sys/mod.rs says what one must supply"),
    };
    let files = ["src/hook/variadic.c", "src/hook/backing.c", library];
    for file in files.iter().copied().chain(["include/cgoheap_backing.h", &processor]) {
        println!("cargo::rerun-if-changed={file}");
    }
    cc::Build::new()
        .files(files)
        .include("include")
        .include(processor)
        .define("CGOHEAP_NO_REDIRECT", None) // our own C code calls the backing functions
        .flag("-fno-omit-frame-pointer") // the caller's registers are found through the frame
        .flag("-fno-plt") // a name that is looked up at the first call takes a kilobyte of the caller's stack
        .flag("-fno-lto")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("cgoheap_c");
}
