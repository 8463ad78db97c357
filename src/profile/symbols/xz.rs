//! What `.gnu_debugdata` is compressed by: an .xz file (<https://tukaani.org/xz/xz-file-format.txt>) of blocks by LZMA2 alone, one or
//! more, which is what `xz` writes.
//!
//! ```text
//!   stream header  12 bytes; the last four bits of the eighth say how long checks are
//!   block          its header, chunks of LZMA2 that end with a zero, zeros up to a multiple of four bytes, a check
//!   ...
//!   index          begins with a zero
//! ```
//!
//! Checks aren't made: damaged symbols are no worse than a damaged file without compression.
//!
//! Context: outside hooks.

/// Bytes that come out at most. Symbols alone: those of a program of 100 MB are 5.
const MOST: usize = 64 << 20;

/// Inflates it; `None` where it is something else, or more than [`MOST`].
pub(super) fn inflate(file: &[u8]) -> Option<Vec<u8>> {
    let blocks = blocks_of(file)?;
    let length = blocks
        .iter()
        .try_fold(0, |sum, (_, length)| Some(sum + length).filter(|sum| *sum <= MOST))?;
    let mut out = Vec::new();
    super::source::reserve(&mut out, length);
    for (chunks, _) in blocks {
        lzma_rs::lzma2_decompress(&mut &chunks[..], &mut out).ok()?;
    }
    (out.len() == length).then_some(out)
}

/// The chunks of each block, and how many bytes come out of them.
fn blocks_of(file: &[u8]) -> Option<Vec<(&[u8], usize)>> {
    const STREAM_HEADER: usize = 12;
    let check_bytes = match file.strip_prefix(b"\xfd7zXZ\0\0")?.first()? & 0xf {
        0 => 0,
        kind => 4 << ((kind - 1) / 3), // 4 bytes for the first three kinds, 8 for the next three, up to 64
    };
    let mut blocks = Vec::new();
    let mut at = STREAM_HEADER;
    while *file.get(at)? != 0 {
        let header = block_header(file.get(at..)?)?;
        let chunks = file.get(at + header..)?;
        let (length, bytes) = length_of(chunks)?;
        blocks.push((chunks.get(..bytes)?, length));
        at += (header + bytes).next_multiple_of(4) + check_bytes;
    }
    Some(blocks)
}

/// Bytes of the header that a block begins with, if it is one by LZMA2 alone.
fn block_header(block: &[u8]) -> Option<usize> {
    const LZMA2: u8 = 0x21;
    // Its length in words of four bytes, less one.
    let (&words, rest) = block.split_first()?;
    let (&flags, mut rest) = rest.split_first()?;
    // The lowest bits: how many filters there are beside the first.
    if flags & 0x03 != 0 {
        return None;
    }
    for bit in [0x40, 0x80] {
        // Compressed and uncompressed size, which need not be there.
        if flags & bit != 0 {
            let length = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
            rest = rest.get(length..)?;
        }
    }
    (rest.first() == Some(&LZMA2)).then_some(4 * (usize::from(words) + 1))
}

/// How many bytes come out, as each chunk says before it begins: nothing is inflated to find out. And how many bytes the chunks are.
fn length_of(all: &[u8]) -> Option<(usize, usize)> {
    let mut chunks = all;
    let mut length = 0;
    loop {
        let (out, whole) = match *chunks {
            [0, ..] => return Some((length, all.len() - chunks.len() + 1)),
            [1 | 2, high, low, ..] => {
                let bytes = usize::from(u16::from_be_bytes([high, low])) + 1;
                (bytes, 3 + bytes)
            }
            [control @ 0x80..=0xff, high, low, packed_high, packed_low, ..] => {
                let out = usize::from(control & 0x1f) << 16 | usize::from(u16::from_be_bytes([high, low]));
                let packed = usize::from(u16::from_be_bytes([packed_high, packed_low])) + 1;
                (out + 1, 5 + usize::from(control >= 0xc0) + packed)
            }
            _ => return None,
        };
        length += out;
        chunks = chunks.get(whole..).filter(|_| length <= MOST)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn xz(contents: &[u8], options: &[&str]) -> Vec<u8> {
        let mut child = Command::new("xz")
            .args(options)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need xz");
        let mut input = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(contents).unwrap());
            child.wait_with_output().unwrap().stdout
        })
    }

    #[test]
    fn what_xz_packs_comes_out_again() {
        let text: Vec<u8> = (0..300_000u32).flat_map(|n| (n % 1000 * n).to_le_bytes()).collect();
        let blocks = "--block-size=70001";
        for options in [
            &["-6"][..],
            &["-0", "--check=none"],
            &["-9e", "--check=sha256"],
            &["-6", "--check=crc32", blocks],
            &["-6", "--check=sha256", blocks],
            &["-1", "--check=none", "-T2", blocks],
        ] {
            for contents in [&text[..], &text[..1], &[7; 100_000]] {
                assert_eq!(inflate(&xz(contents, options)).as_deref(), Some(contents));
            }
        }
    }

    #[test]
    fn what_is_cut_or_damaged_or_too_much_is_none_or_ends() {
        let text: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
        let packed = xz(&text, &["-6"]);
        for length in 0..200 {
            assert_eq!(inflate(&packed[..length]), None);
        }
        for at in 0..packed.len().min(400) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x5a;
            let _ = inflate(&damaged); // whatever comes out, it comes back
        }
        assert_eq!(inflate(&xz(&vec![0; MOST + 1], &["-0"])), None);
    }
}
