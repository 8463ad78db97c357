//! Compiles what Rust can't define: the variadic functions, and the weak table of backing functions.

use std::env::{var, var_os};

fn main() {
    if var_os("CARGO_FEATURE_TABLES").is_none() {
        return; // the archive has it
    }
    // A processor's folder says how C code finds its caller's registers.
    let processor = format!("src/sys/arch/{}", var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it"));
    let files = ["src/hook/variadic.c", "src/hook/backing.c"];
    for file in files.iter().copied().chain(["include/cgoheap_backing.h", &processor]) {
        println!("cargo::rerun-if-changed={file}");
    }
    cc::Build::new()
        .files(files)
        .include("include")
        .include(processor)
        .define("CGOHEAP_NO_REDIRECT", None) // our own C code calls the backing functions
        .flag("-fno-omit-frame-pointer") // the caller's registers are found through the frame
        .flag("-fno-lto")
        .opt_level(2)
        .warnings(true)
        .extra_warnings(true)
        .compile("cgoheap_c");
}
