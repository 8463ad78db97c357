//! Tells the files of cgoheap to use loom's atomics.

fn main() {
    println!("cargo:rustc-cfg=loom");
}
