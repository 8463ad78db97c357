//! Settings: the sampling interval, from the environment or from the program.
//!
//! ```text
//!   CGOHEAP=rate=512KiB     read at the first allocation or the first call of ours, whichever comes first
//!   SetRate / cgoheap_set_rate / set_interval    later, and wins
//! ```
//!
//! The environment is not read in a setuid program (secure_getenv(3)). Reading it may happen inside malloc: it allocates
//! nothing, and what it can't understand it says once, straight to stderr.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Release},
};

use crate::sampler;
use crate::sys::errno::ErrnoGuard;

const UNREAD: u32 = 0;
const READING: u32 = 1;
const READ: u32 = 2;
static ENVIRONMENT: AtomicU32 = AtomicU32::new(UNREAD);

// SAFETY: as in secure_getenv(3).
unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// Obeys `CGOHEAP`, once. Context: hook.
#[inline]
pub fn read_environment_once() {
    if ENVIRONMENT.load(Acquire) != READ {
        read_environment();
    }
}

#[cold]
fn read_environment() {
    if ENVIRONMENT.compare_exchange(UNREAD, READING, Acquire, Acquire).is_err() {
        return;
    }
    core::hint::black_box((&crate::sys::fork::AT_START, &crate::module::AT_START)); // keeps them in the program
    let _errno = ErrnoGuard::save();
    // SAFETY: a zero-terminated name; the result is a zero-terminated string of the environment, or null.
    let value = unsafe { secure_getenv(c"CGOHEAP".as_ptr()) };
    if !value.is_null() {
        // SAFETY: as above; nobody changes the environment while the program's first allocation is under way.
        let settings = parse(unsafe { CStr::from_ptr(value) }.to_bytes(), &mut |problem, what| {
            warn(&[
                b"cgoheap: CGOHEAP: ",
                problem.as_bytes(),
                b" \"",
                what,
                b"\": ignored. Known: rate=BYTES, for example CGOHEAP=rate=512KiB (1 samples everything, 0 nothing)\n",
            ])
        });
        if let Some(rate) = settings.rate {
            sampler::set_interval_from_environment(rate);
        }
    }
    ENVIRONMENT.store(READ, Release);
}

/// Writes to stderr what it takes at once: a full pipe must not stop the program's malloc, a closed one not end the
/// program by a signal.
fn warn(pieces: &[&[u8]]) {
    let mut stderr = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid descriptor, no waiting.
    if unsafe { libc::poll(&mut stderr, 1, 0) } != 1 || stderr.revents != libc::POLLOUT {
        return;
    }
    for piece in pieces {
        // SAFETY: a valid buffer; stderr may be anything.
        unsafe { libc::write(libc::STDERR_FILENO, piece.as_ptr().cast(), piece.len()) };
    }
}

#[derive(Debug, Default, PartialEq)]
struct Settings {
    rate: Option<u64>,
}

fn parse<'a>(text: &'a [u8], complain: &mut dyn FnMut(&'static str, &'a [u8])) -> Settings {
    let mut settings = Settings::default();
    for item in text
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
    {
        match item.strip_prefix(b"rate=") {
            Some(value) => match parse_size(value).filter(|rate| *rate <= sampler::MAX_INTERVAL) {
                Some(rate) => settings.rate = Some(rate),
                None => complain("not a number of bytes up to 1TiB:", item),
            },
            None => complain("unknown setting", item),
        }
    }
    settings
}

/// `512`, `512KiB`, `1MiB`, `2GiB`; the short `K`, `M` and `G` mean the same.
fn parse_size(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = core::str::from_utf8(number).ok()?.parse().ok()?;
    let shift = match unit {
        b"" | b"B" => 0,
        b"KiB" | b"K" => 10,
        b"MiB" | b"M" => 20,
        b"GiB" | b"G" => 30,
        b"TiB" | b"T" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> (Option<u64>, usize) {
        let mut complaints = 0;
        (parse(text.as_bytes(), &mut |_, _| complaints += 1).rate, complaints)
    }

    #[test]
    fn sizes_with_and_without_unit_are_understood() {
        assert_eq!(rate("rate=512KiB"), (Some(512 << 10), 0));
        assert_eq!(rate("rate=1"), (Some(1), 0));
        assert_eq!(rate(" rate=0 ,"), (Some(0), 0));
        assert_eq!(rate("rate=2G"), (Some(2 << 30), 0));
        assert_eq!(rate(""), (None, 0));
    }

    #[test]
    fn what_is_not_understood_is_complained_of_and_changes_nothing() {
        assert_eq!(rate("rate="), (None, 1));
        assert_eq!(rate("rate=-1"), (None, 1));
        assert_eq!(rate("rate=10KB"), (None, 1));
        assert_eq!(rate("rate=99999999999999999999"), (None, 1));
        assert_eq!(rate("rate=16777216TiB"), (None, 1));
        assert_eq!(rate("speed=1,rate=64K"), (Some(64 << 10), 1));
    }
}
