//! A Rust program without Go that writes its own heap profile:
//!
//!     cargo run --release -- /tmp/rust.pb.gz && go tool pprof -top /tmp/rust.pb.gz
//!
//! Look for `rust_program::remember`: it holds 1,000 strings of 1,000 bytes, and what `forget` allocated is gone.

use cgoheap::CgoHeap;

#[global_allocator]
static HEAP: CgoHeap = CgoHeap::system();

#[inline(never)]
fn remember(names: &mut Vec<String>) {
    names.extend((0..1000).map(|_| "x".repeat(1000)));
}

#[inline(never)]
fn forget() {
    for size in 1..1000 {
        std::hint::black_box(vec![0u8; size]);
    }
}

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).expect("usage: rust-program PROFILE");
    cgoheap::set_rate(1).expect("a rate of 1 is always allowed"); // every allocation; in production leave it at 512 KiB
    let mut names = Vec::new();
    remember(&mut names);
    forget();
    cgoheap::write_profile(path)?;
    println!("{} strings", names.len());
    Ok(())
}
