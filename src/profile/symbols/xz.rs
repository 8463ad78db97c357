//! What `.gnu_debugdata` is compressed by: an .xz file (<https://tukaani.org/xz/xz-file-format.txt>) of one block by LZMA2, which is
//! what `xz` writes without threads.
//!
//! Context: outside hooks.

/// Bytes that come out at most. Symbols alone: those of a program of 100 MB are 5.
const MOST: usize = 64 << 20;

/// Inflates it; `None` where it is something else, or more than [`MOST`].
pub(super) fn inflate(file: &[u8]) -> Option<Vec<u8>> {
    let packed = lzma2_of(file)?;
    let length = length_of(packed)?;
    let mut out = Vec::new();
    super::source::reserve(&mut out, length);
    lzma_rs::lzma2_decompress(&mut &packed[..], &mut out).ok()?;
    (out.len() == length).then_some(out)
}

/// The contents of the first block: stream header, block header, contents.
fn lzma2_of(file: &[u8]) -> Option<&[u8]> {
    const STREAM_HEADER: usize = 12;
    const LZMA2: u8 = 0x21;
    let block = file
        .strip_prefix(b"\xfd7zXZ\0")
        .and_then(|_| file.get(STREAM_HEADER..))?;
    // Its length in words of four bytes, less one. 0 is the index: there is no block.
    let (&words, rest) = block.split_first().filter(|(words, _)| **words != 0)?;
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
    if rest.first() != Some(&LZMA2) {
        return None;
    }
    block.get(4 * (usize::from(words) + 1)..)
}

/// How many bytes come out, as each chunk says before it begins: nothing is inflated to find out.
fn length_of(mut chunks: &[u8]) -> Option<usize> {
    let mut length = 0;
    loop {
        let (out, whole) = match *chunks {
            [0, ..] => return Some(length),
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
            .args(["-c", "-T1"])
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
        for options in [&["-6"][..], &["-0", "--check=none"], &["-9e", "--check=sha256"]] {
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
