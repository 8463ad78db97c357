//! Names for people out of names for linkers, at a bounded cost.
//!
//! A mangled name refers back to its own parts, so that each few bytes may double what is written: 251 bytes of C++ came out as
//! gigabytes, in 18 seconds. So a name is cut while it is being written. What is left out at the end is said by [`CUT`].
//!
//! A crate of its own, so that it is built small and not fast: cpp_demangle is generic over its writer, and would be 110 KB more.
//!
//! Context: outside hooks.

use core::fmt;

use cpp_demangle::{DemangleNodeType, DemangleWrite};

/// Bytes of a name at most, without [`CUT`]. The longest of a large C++ program that a person can still read are a tenth of this.
pub const LONGEST: usize = 4096;
/// Mangled names above this size are not demangled. (The parsed form of a bad one takes up to 3 KB for each byte.)
const LONGEST_MANGLED: usize = 8 * 1024;
/// Template arguments behind a template parameter at most, in a name with a conversion operator: see [`is_ambiguous`].
const MOST_AMBIGUOUS: usize = 8;
/// Calls of the writer at most: a name whose parts are all empty is never longest.
const MOST_STEPS: usize = 100_000;
/// What a name that was cut ends with.
pub const CUT: &str = "...";

/// Whether a name is one of C++ or Rust, as the linker has it.
pub fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R")
}

/// As a person writes it. C names come back as they are: they must not be shown to the C++ demangler, which takes `f` for the type
/// float.
pub fn demangle(name: &str) -> String {
    let mut writer = Writer::default();
    if name.len() <= LONGEST_MANGLED
        && is_mangled(name)
        && !is_ambiguous(name)
        && (written(name, &mut writer) || writer.is_cut)
        && !writer.text.is_empty()
    {
        return writer.finish();
    }
    cut(name)
}

/// Whether parsing may take for ever: 282 bytes of `_ZcvT_IcvT_I...` take a second, some more minutes.
///
/// In `cv T_ I ... E` the arguments may be the type's or the operator's. The parser tries both, at each of them twice what lies
/// within.
fn is_ambiguous(name: &str) -> bool {
    let bytes = name.as_bytes();
    let with_arguments = |at: &usize| {
        let rest = bytes.get(at + 1..).unwrap_or(&[]);
        let digits = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        bytes.get(*at) == Some(&b'T') && rest.get(digits..).is_some_and(|rest| rest.starts_with(b"_I"))
    };
    name.contains("cv") && (0..bytes.len()).filter(with_arguments).count() > MOST_AMBIGUOUS
}

/// Whether the whole name could be written.
fn written(name: &str, writer: &mut Writer) -> bool {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        return fmt::write(writer, format_args!("{name:#}")).is_ok();
    }
    cpp_demangle::Symbol::new(name).is_ok_and(|name| {
        name.structured_demangle(&mut Structured(writer), &Default::default())
            .is_ok()
    })
}

/// At most so much of a name or path; where nothing is cut, all of it.
pub fn cut(text: &str) -> String {
    let mut writer = Writer::default();
    let _ = fmt::Write::write_str(&mut writer, text);
    writer.finish()
}

#[derive(Default)]
struct Writer {
    text: String,
    steps: usize,
    is_cut: bool,
}

impl Writer {
    fn step(&mut self) -> fmt::Result {
        self.steps += 1;
        self.is_cut |= self.steps > MOST_STEPS;
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }

    fn finish(mut self) -> String {
        if self.is_cut {
            self.text.push_str(CUT);
        }
        self.text
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.step()?;
        let room = LONGEST - self.text.len();
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.is_cut = true;
        Err(fmt::Error)
    }
}

/// Counts the parts that write nothing, too.
struct Structured<'a>(&'a mut Writer);

impl DemangleWrite for Structured<'_> {
    fn push_demangle_node(&mut self, _: DemangleNodeType) {
        let _ = self.0.step(); // the next write fails
    }

    fn write_string(&mut self, text: &str) -> fmt::Result {
        fmt::Write::write_str(self.0, text)
    }
}
