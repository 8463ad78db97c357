//! Names of Go addresses, as the Go side hands them over.
//!
//! Only the Go runtime knows its functions well (inlined ones too, in a stripped program too), and it isn't called
//! from here. So the Go side asks for the addresses, names them, and hands back one block of little-endian 32-bit
//! words, described at `cgoheap_snapshot_name_go` in cgoheap.h:
//!
//! ```text
//!   n_strings  { length  bytes, padded with zeros to a multiple of 4 } ...
//!   n_pcs      { n_frames  { function  file  line  first line } ... } ...
//! ```
//!
//! The block comes from another language across a C function, so nothing in it is believed: every count is compared
//! with what is left before anything of that size is made.

use core::fmt;

use super::Line;

/// Names by Go return address. The default value names nothing, which is right for a program without Go.
#[derive(Clone, Debug, Default)]
pub struct GoNames {
    strings: Vec<String>,
    frames: Vec<GoFrame>,
    /// Address and its part of `frames`; addresses ascend.
    pcs: Vec<(u64, core::ops::Range<usize>)>,
}

#[derive(Clone, Copy, Debug)]
struct GoFrame {
    function: usize,
    file: usize,
    line: u32,
    start_line: u32,
}

/// Why a block of names is refused. Words are counted from 0 at the block's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoNamesError {
    /// The block's length is no multiple of four.
    Length {
        /// Bytes in the block.
        bytes: usize,
    },
    /// The block ends too early.
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How many words it needs from `word` on.
        needed: u64,
        /// Word at which it should start.
        word: usize,
        /// Words that are left.
        left: usize,
    },
    /// The bytes after a string aren't zero.
    Padding {
        /// The last word of the string.
        word: usize,
        /// Its value.
        value: u32,
    },
    /// The block names another number of addresses than the snapshot has.
    PcCount {
        /// Word that holds the number.
        word: usize,
        /// The number.
        value: u32,
        /// Addresses in the snapshot.
        expected: usize,
    },
    /// A function or file is not the number of a string.
    StringIndex {
        /// `"function"` or `"file"`.
        what: &'static str,
        /// Word that holds the number.
        word: usize,
        /// The number.
        value: u32,
        /// Strings in the block.
        strings: usize,
    },
    /// Words follow after the last address.
    Trailing {
        /// The first of them.
        word: usize,
        /// How many.
        left: usize,
    },
}

impl fmt::Display for GoNamesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("table of Go names: ")?;
        match self {
            GoNamesError::Length { bytes } => {
                write!(f, "its length of {bytes} bytes is no multiple of 4")
            }
            GoNamesError::Truncated {
                what,
                needed,
                word,
                left,
            } => {
                write!(f, "{what} at word {word} needs {needed} words, {left} are left")
            }
            GoNamesError::Padding { word, value } => {
                write!(f, "the padding in word {word} ({value:#010x}) is not zero")
            }
            GoNamesError::PcCount { word, value, expected } => {
                write!(f, "word {word} says {value} addresses, the snapshot has {expected}")
            }
            GoNamesError::StringIndex {
                what,
                word,
                value,
                strings,
            } => {
                write!(f, "{what} {value} in word {word} is none of the {strings} strings")
            }
            GoNamesError::Trailing { word, left } => {
                write!(f, "{left} words follow after the last address, from word {word} on")
            }
        }
    }
}

impl std::error::Error for GoNamesError {}

impl GoNames {
    /// Reads the block for the addresses `pcs`, those of [`crate::snapshot::Snapshot::go_return_addresses`].
    pub fn parse(pcs: &[u64], block: &[u8]) -> Result<GoNames, GoNamesError> {
        let (words, rest) = block.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(GoNamesError::Length { bytes: block.len() });
        }
        let mut reader = Reader { words, at: 0 };
        let mut names = GoNames {
            strings: reader.strings()?,
            ..GoNames::default()
        };

        let word = reader.at;
        let count = reader.word("the number of addresses")?;
        if count as usize != pcs.len() {
            return Err(GoNamesError::PcCount {
                word,
                value: count,
                expected: pcs.len(),
            });
        }
        for &pc in pcs {
            let count = reader.word("the number of frames of an address")?;
            reader.need("the frames of an address", u64::from(count) * 4)?;
            let first = names.frames.len();
            for _ in 0..count {
                names.frames.push(GoFrame {
                    function: reader.string_index("function", names.strings.len())?,
                    file: reader.string_index("file", names.strings.len())?,
                    line: reader.word("a line")?,
                    start_line: reader.word("a first line")?,
                });
            }
            names.pcs.push((pc, first..names.frames.len()));
        }
        match words.len() - reader.at {
            0 => Ok(names),
            left => Err(GoNamesError::Trailing { word: reader.at, left }),
        }
    }

    /// Appends the lines at a Go return address, innermost first; nothing for an address without a name.
    pub fn lines(&self, return_address: u64, out: &mut Vec<Line>) {
        let Ok(at) = self.pcs.binary_search_by_key(&return_address, |(pc, _)| *pc) else {
            return;
        };
        for frame in &self.frames[self.pcs[at].1.clone()] {
            let function = self.strings[frame.function].clone();
            // A frame without a name is no better than the bare address.
            if function.is_empty() {
                continue;
            }
            out.push(Line {
                system_name: function.clone(),
                function,
                file: self.strings[frame.file].clone(),
                line: frame.line,
                start_line: frame.start_line,
            });
        }
    }
}

struct Reader<'a> {
    words: &'a [[u8; 4]],
    at: usize,
}

impl Reader<'_> {
    fn need(&self, what: &'static str, needed: u64) -> Result<(), GoNamesError> {
        let left = self.words.len() - self.at;
        if needed > left as u64 {
            return Err(GoNamesError::Truncated {
                what,
                needed,
                word: self.at,
                left,
            });
        }
        Ok(())
    }

    fn word(&mut self, what: &'static str) -> Result<u32, GoNamesError> {
        self.need(what, 1)?;
        let word = u32::from_le_bytes(self.words[self.at]);
        self.at += 1;
        Ok(word)
    }

    fn strings(&mut self) -> Result<Vec<String>, GoNamesError> {
        let count = self.word("the number of strings")?;
        // Each string is at least its length.
        self.need("the strings", u64::from(count))?;
        (0..count).map(|_| self.string()).collect()
    }

    fn string(&mut self) -> Result<String, GoNamesError> {
        let length = self.word("the length of a string")? as usize;
        let words = length.div_ceil(4);
        self.need("a string", words as u64)?;
        let bytes = self.words[self.at..self.at + words].as_flattened();
        self.at += words;
        let (text, padding) = bytes.split_at(length);
        if padding.iter().any(|&byte| byte != 0) {
            let word = self.at - 1;
            return Err(GoNamesError::Padding {
                word,
                value: u32::from_le_bytes(self.words[word]),
            });
        }
        // A file name need not be UTF-8, the format's strings must be.
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn string_index(&mut self, what: &'static str, strings: usize) -> Result<usize, GoNamesError> {
        let word = self.at;
        let value = self.word(what)?;
        if value as usize >= strings {
            return Err(GoNamesError::StringIndex {
                what,
                word,
                value,
                strings,
            });
        }
        Ok(value as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One string "main.leak", one "/src/a.go" and one address with two frames.
    fn block() -> Vec<u8> {
        let mut block = Vec::new();
        let mut word = |value: u32| block.extend(value.to_le_bytes());
        word(3);
        word(9);
        word(u32::from_le_bytes(*b"main"));
        word(u32::from_le_bytes(*b".lea"));
        word(u32::from_le_bytes(*b"k\0\0\0"));
        word(4);
        word(u32::from_le_bytes(*b"a.go"));
        word(0);
        word(2); // word 8: two addresses
        word(2);
        [0, 1, 7, 5, 1, 1, 9, 8].into_iter().for_each(&mut word);
        word(0); // word 18: the second has no names
        block
    }

    fn with_word(at: usize, value: u32) -> Result<GoNames, GoNamesError> {
        let mut block = block();
        block[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
        GoNames::parse(&[0x10, 0x20], &block)
    }

    fn lines(names: &GoNames, pc: u64) -> Vec<Line> {
        let mut out = Vec::new();
        names.lines(pc, &mut out);
        out
    }

    #[test]
    fn a_block_names_its_addresses_innermost_first() {
        let names = GoNames::parse(&[0x10, 0x20], &block()).unwrap();
        let found = lines(&names, 0x10);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].function.as_str(), found[0].file.as_str()),
            ("main.leak", "a.go")
        );
        assert_eq!((found[0].line, found[0].start_line), (7, 5));
        assert_eq!(found[1].function, "a.go");
        assert!(lines(&names, 0x20).is_empty());
        assert!(lines(&names, 0x30).is_empty());
        assert!(lines(&GoNames::default(), 0x10).is_empty());
    }

    #[test]
    fn a_malformed_block_is_refused_with_value_and_word() {
        let parse = |block: &[u8]| GoNames::parse(&[0x10, 0x20], block).unwrap_err().to_string();
        let good = block();
        let cases = [
            (
                parse(&good[..5]),
                "table of Go names: its length of 5 bytes is no multiple of 4",
            ),
            (
                parse(&[]),
                "table of Go names: the number of strings at word 0 needs 1 words, 0 are left",
            ),
            (
                parse(&good[..12]),
                "table of Go names: the strings at word 1 needs 3 words, 2 are left",
            ),
            (
                parse(&good[..16]),
                "table of Go names: a string at word 2 needs 3 words, 2 are left",
            ),
            (
                parse(&good[..72]),
                "table of Go names: the number of frames of an address at word 18 needs 1 words, 0 are left",
            ),
            (
                parse(&[&good[..], &[0; 8]].concat()),
                "table of Go names: 2 words follow after the last address, from word 19 on",
            ),
            (
                with_word(0, u32::MAX).unwrap_err().to_string(),
                "table of Go names: the strings at word 1 needs 4294967295 words, 18 are left",
            ),
            (
                with_word(1, u32::MAX).unwrap_err().to_string(),
                "table of Go names: a string at word 2 needs 1073741824 words, 17 are left",
            ),
            (
                with_word(4, u32::from_le_bytes(*b"k\0\0x")).unwrap_err().to_string(),
                "table of Go names: the padding in word 4 (0x7800006b) is not zero",
            ),
            (
                with_word(8, 3).unwrap_err().to_string(),
                "table of Go names: word 8 says 3 addresses, the snapshot has 2",
            ),
            (
                with_word(9, 0x4000_0001).unwrap_err().to_string(),
                "table of Go names: the frames of an address at word 10 needs 4294967300 words, 9 are left",
            ),
            (
                with_word(10, 3).unwrap_err().to_string(),
                "table of Go names: function 3 in word 10 is none of the 3 strings",
            ),
            (
                with_word(15, 4).unwrap_err().to_string(),
                "table of Go names: file 4 in word 15 is none of the 3 strings",
            ),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }

    proptest::proptest! {
        /// Reading beyond the block, or making something of a size that the block only claims, would show here.
        #[test]
        fn no_block_of_small_words_panics(words in proptest::collection::vec(0u32..6, 0..40)) {
            let block: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let _ = GoNames::parse(&[1, 2], &block);
        }

        #[test]
        fn no_block_of_bytes_panics(block: Vec<u8>) {
            let _ = GoNames::parse(&[1], &block);
        }
    }
}
