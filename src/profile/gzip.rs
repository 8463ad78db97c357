//! Compression that may run out of memory at any moment, also while the stack unwinds.

use std::alloc::{Layout, handle_alloc_error};
use std::io::{Error, ErrorKind, Result, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is compressed, in memory. An encoder writes what it still has when it is dropped, and so does one that is dropped
/// because something else found no memory: a `Vec` would ask for more then, and the program would end. This says no.
struct Memory(Vec<u8>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0
            .try_reserve(bytes.len())
            .map_err(|_| Error::from(ErrorKind::OutOfMemory))?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A gzip stream in memory.
pub(super) struct Gzip(GzEncoder<Memory>);

impl Gzip {
    /// Level 1: names and small numbers shrink well at any level, and this runs inside somebody's server.
    pub(super) fn new() -> Gzip {
        Gzip(GzEncoder::new(Memory(Vec::new()), Compression::fast()))
    }

    /// Without memory it ends as any other allocation does.
    pub(super) fn put(&mut self, part: &[u8]) {
        if self.0.write_all(part).is_err() {
            no_memory(part.len());
        }
    }

    /// The whole stream.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finish().unwrap_or_else(|_| no_memory(1)).0
    }
}

fn no_memory(bytes: usize) -> ! {
    handle_alloc_error(Layout::array::<u8>(bytes).unwrap_or(Layout::new::<u8>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a process of its own, whose address space ends.
    #[test]
    fn an_encoder_that_is_dropped_without_memory_leaves_the_program_alive() {
        const ALONE: &str = "CGOHEAP_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            let name = module_path!().split_once("::").unwrap().1.to_owned()
                + "::an_encoder_that_is_dropped_without_memory_leaves_the_program_alive";
            let out = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &name])
                .env(ALONE, "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&out.stdout);
            assert!(
                out.status.success() && text.contains(" 1 passed"),
                "{}: {text}",
                out.status
            );
            return;
        }
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
        let mut gzip = Gzip::new();
        let mut state = 1u64;
        let mut noise = vec![0u8; 10_000];
        let room = libc::rlimit {
            rlim_cur: pages * 4096 + (8 << 20),
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: a limit of this process, which is there for this test alone.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &room) }, 0);
        let refused = (0..10_000).any(|_| {
            noise.iter_mut().for_each(|byte| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            });
            gzip.0.write_all(&noise).is_err()
        });
        assert!(refused, "100 MB in 8");
        drop(gzip);
    }

    #[test]
    fn what_was_put_in_comes_out() {
        let mut gzip = Gzip::new();
        (0..1000u32).for_each(|n| gzip.put(&n.to_le_bytes()));
        let mut out = Vec::new();
        std::io::copy(&mut flate2::read::GzDecoder::new(&gzip.finish()[..]), &mut out).unwrap();
        assert_eq!(out, (0..1000u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    }
}
