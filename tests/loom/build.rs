//! Tells the filter to use loom's atomics.

fn main() {
    println!("cargo:rustc-cfg=loom");
}
