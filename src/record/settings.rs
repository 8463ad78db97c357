//! Settings: the sampling interval, from the environment or from the program, and whether dumps are wanted.
//!
//! ```text
//!   CGOHEAP=rate=512KiB     read at the first allocation or the first call of ours, whichever comes first
//!   CGOHEAP=own=64MiB       the most memory that cgoheap itself may take, see [`pages::set_limit`]
//!   CGOHEAP=allocators=my_alloc|Pool::get   functions that only pass memory on, see [`allocators`]
//!   SetRate / cgoheap_set_rate / set_interval    later, and wins
//!   CGOHEAP=dump=/var/tmp/shop,limit=2GiB,grow=1.5,signal=SIGUSR2,keep=16      see [`crate::control::dump`]
//! ```
//!
//! The environment is not read in a setuid program. Reading it may happen inside malloc: it allocates
//! nothing, and what it can't understand it says once, straight to stderr.

use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::record::sampler;
use crate::record::trigger::{self, DumpSettings};
use crate::sys::{clock, environment, errno::ErrnoGuard, float::FloatGuard, pages, spare_stack};

const UNREAD: u32 = 0;
const READING: u32 = 1;
const READ: u32 = 2;
static ENVIRONMENT: AtomicU32 = AtomicU32::new(UNREAD);
/// Wall-clock time when the environment was read. Atomic, because the first allocation, in any thread, sets it.
static STARTED_NANOS: AtomicU64 = AtomicU64::new(0);

/// When the program made its first allocation or called us first: nanoseconds since the epoch. Context: any.
pub fn started_nanos() -> i64 {
    STARTED_NANOS.load(Relaxed) as i64
}

/// Reads `CGOHEAP` and sets what it says, once. Context: hook.
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
    let was_read = spare_stack::run(read_environment_here).is_some();
    // Else the next one that comes by tries again.
    ENVIRONMENT.store(if was_read { READ } else { UNREAD }, Release);
}

fn read_environment_here() {
    STARTED_NANOS.store(clock::wall_nanos() as u64, Relaxed);
    let _errno = ErrnoGuard::save();
    let _float = FloatGuard::enter();
    // Nobody changes the environment while the program's first allocation is under way.
    if let Some(value) = environment::variable(c"CGOHEAP") {
        let settings = parse(value, &mut |problem, what| {
            crate::sys::stderr::warn(&[
                b"cgoheap: CGOHEAP: ",
                problem.as_bytes(),
                b" \"",
                what,
                b"\": ignored. Known: rate=BYTES, for example CGOHEAP=rate=512KiB (1 samples everything, 0 nothing); \
                  dump=PREFIX with limit=BYTES, grow=FACTOR, signal=SIGUSR1 or SIGUSR2, keep=FILES; own=BYTES; allocators=NAME|NAME\n",
            ])
        });
        if let Some(rate) = settings.rate {
            sampler::set_interval_from_environment(rate);
        }
        if let Some(bytes) = settings.own {
            pages::set_limit(bytes);
        }
        trigger::configure(&settings.dump);
        if let Some(names) = settings.allocators {
            ALLOCATORS.set(names);
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Settings<'a> {
    rate: Option<u64>,
    own: Option<u64>,
    dump: DumpSettings<'a>,
    allocators: Option<&'a [u8]>,
}

/// The least that cgoheap itself can do with: the table of stacks begins with 2 MiB, and tables have half.
const LEAST_OWN: u64 = 16 << 20;
/// The longest list of allocators, in bytes.
const MAX_ALLOCATORS: usize = 1024;

/// A copy of a setting's text: the environment may be written over.
struct Text {
    bytes: UnsafeCell<[u8; MAX_ALLOCATORS]>,
    /// Atomic, because the first allocation, in any thread, sets it.
    length: AtomicUsize,
}
// SAFETY: the bytes are written once, before the length is set, and only read after that.
unsafe impl Sync for Text {}

impl Text {
    /// Once, with at most [`MAX_ALLOCATORS`] bytes. Context: hook.
    fn set(&self, text: &[u8]) {
        // SAFETY: called once, and nobody reads before the length is set.
        let room = unsafe { &mut *self.bytes.get() };
        room.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        self.length.store(text.len().min(MAX_ALLOCATORS), Release);
    }

    fn get(&self) -> &[u8] {
        let length = self.length.load(Acquire);
        // SAFETY: once the length is set nobody writes.
        let bytes = unsafe { &*self.bytes.get() };
        bytes.get(..length).unwrap_or_default()
    }
}

static ALLOCATORS: Text = Text {
    bytes: UnsafeCell::new([0; MAX_ALLOCATORS]),
    length: AtomicUsize::new(0),
};

/// The program's own functions that only pass memory on, separated by `|`; `*` stands for anything. Readers of a profile leave
/// them out. Context: any.
pub fn allocators() -> &'static str {
    core::str::from_utf8(ALLOCATORS.get()).unwrap_or_default()
}

fn parse<'a>(text: &'a [u8], complain: &mut dyn FnMut(&'static str, &'a [u8])) -> Settings<'a> {
    let mut settings = Settings::default();
    for item in text
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
    {
        let (key, value) = item.split_at(
            item.iter()
                .position(|byte| *byte == b'=')
                .map_or(item.len(), |at| at + 1),
        );
        let dump = &mut settings.dump;
        // Each arm leaves the setting alone and says what it must be, or nothing.
        let wrong = match key {
            b"rate=" => {
                let rate = parse_size(value, "not a number of bytes up to 1TiB:", &|rate| {
                    rate <= sampler::MAX_INTERVAL
                });
                set(&mut settings.rate, rate)
            }
            b"own=" => {
                let own = parse_size(value, "not a number of bytes from 16MiB on:", &|own| own >= LEAST_OWN);
                set(&mut settings.own, own)
            }
            b"dump=" => {
                let prefix = Some(value).filter(|value| (1..=trigger::MAX_PREFIX).contains(&value.len()));
                set(&mut dump.prefix, prefix.ok_or("not a path of 1 to 1024 bytes:"))
            }
            b"limit=" => {
                let limit = parse_size(value, "not a number of bytes above 0:", &|limit| limit > 0);
                set(&mut dump.limit, limit)
            }
            b"grow=" => {
                let factor = core::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse::<f64>().ok());
                let factor = factor.filter(|factor| (1.01..=1000.0).contains(factor));
                set(&mut dump.grow, factor.ok_or("not a factor from 1.01 to 1000:"))
            }
            b"signal=" => set(
                &mut dump.signal,
                parse_signal(value).ok_or("neither SIGUSR1 nor SIGUSR2:"),
            ),
            b"allocators=" => {
                let names = Some(value).filter(|value| {
                    let printable = value.iter().all(|byte| (b' '..=b'~').contains(byte));
                    (1..=MAX_ALLOCATORS).contains(&value.len()) && printable
                });
                set(
                    &mut settings.allocators,
                    names.ok_or("not function names in ASCII, separated by |, of 1 to 1024 bytes in all:"),
                )
            }
            b"keep=" => {
                let keep = core::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                let keep = keep.filter(|keep| (1..=10_000).contains(keep));
                set(&mut dump.keep, keep.ok_or("not a number of files from 1 to 10000:"))
            }
            _ => Some("unknown setting"),
        };
        if let Some(problem) = wrong {
            complain(problem, item);
        }
    }
    let dump = &settings.dump;
    let wanted = dump.limit.is_some() || dump.grow.is_some() || dump.signal.is_some();
    if dump.prefix.is_none() && (wanted || dump.keep.is_some()) {
        complain(
            "limit, grow, signal and keep say when to dump, and need dump=PREFIX to say where:",
            text,
        );
    }
    if dump.prefix.is_some() && !wanted {
        complain("dump= needs limit=, grow= or signal= to say when:", text);
        settings.dump = DumpSettings::default();
    }
    settings
}

/// Sets what could be read; else says what is wrong.
fn set<T>(setting: &mut Option<T>, value: Result<T, &'static str>) -> Option<&'static str> {
    match value {
        Ok(value) => {
            *setting = Some(value);
            None
        }
        Err(problem) => Some(problem),
    }
}

/// The two signals that are the program's own to use.
fn parse_signal(name: &[u8]) -> Option<i32> {
    match name.strip_prefix(b"SIG").unwrap_or(name) {
        b"USR1" => Some(libc::SIGUSR1),
        b"USR2" => Some(libc::SIGUSR2),
        _ => None,
    }
}

/// `512`, `512KiB`, `1MiB`, `2GiB`, of which `512K`, `1M` and `2G` are the short forms, and `512KB`, `1MB`, `2GB`, which are powers
/// of 1000. Capitals and small letters are the same. What is no number, or none that `accepts`, is what `wrong` says.
fn parse_size(text: &[u8], wrong: &'static str, accepts: &dyn Fn(u64) -> bool) -> Result<u64, &'static str> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = core::str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse().ok())
        .ok_or(wrong)?;
    let (letter, rest) = unit
        .split_first()
        .map_or((b'b', unit), |(first, rest)| (first.to_ascii_lowercase(), rest));
    let base: u64 = match rest {
        _ if rest.eq_ignore_ascii_case(b"b") => 1000,
        _ if rest.is_empty() || rest.eq_ignore_ascii_case(b"ib") => 1024,
        _ => return Err(UNKNOWN_UNIT),
    };
    let power = match letter {
        b'b' if rest.is_empty() => 0,
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        _ => return Err(UNKNOWN_UNIT),
    };
    let bytes = number.checked_mul(base.pow(power)).filter(|bytes| accepts(*bytes));
    bytes.ok_or(wrong)
}

const UNKNOWN_UNIT: &str = "the unit of the size is none of B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB, K, M, G, T \
                            (powers of 1024):";

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> (Option<u64>, usize) {
        let mut complaints = 0;
        (parse(text.as_bytes(), &mut |_, _| complaints += 1).rate, complaints)
    }

    fn complaint(text: &str) -> Option<&'static str> {
        let mut first = None;
        parse(text.as_bytes(), &mut |problem, _| {
            first.get_or_insert(problem);
        });
        first
    }

    #[test]
    fn sizes_with_and_without_unit_are_understood() {
        assert_eq!(rate("rate=512KiB"), (Some(512 << 10), 0));
        assert_eq!(rate("rate=1"), (Some(1), 0));
        assert_eq!(rate(" rate=0 ,"), (Some(0), 0));
        assert_eq!(rate("rate=2G"), (Some(2 << 30), 0));
        assert_eq!(rate("rate=2GB"), (Some(2_000_000_000), 0));
        assert_eq!(rate("rate=10KB"), (Some(10_000), 0));
        assert_eq!(rate("rate=3mb"), (Some(3_000_000), 0));
        assert_eq!(rate("rate=3kib"), (Some(3 << 10), 0));
        assert_eq!(rate("rate=7B"), (Some(7), 0));
        assert_eq!(rate(""), (None, 0));
    }

    #[test]
    fn what_is_not_understood_is_complained_of_and_changes_nothing() {
        assert_eq!(rate("rate="), (None, 1));
        assert_eq!(rate("rate=-1"), (None, 1));
        for unit in ["X", "KX", "GiBB", "iB", "BB", "GG", " GB", "KBit"] {
            assert_eq!(complaint(&format!("rate=10{unit}")), Some(UNKNOWN_UNIT), "{unit}");
        }
        assert_eq!(complaint("limit=0GB,dump=a"), Some("not a number of bytes above 0:"));
        assert_eq!(rate("rate=99999999999999999999"), (None, 1));
        assert_eq!(rate("rate=16777216TiB"), (None, 1));
        assert_eq!(rate("speed=1,rate=64K"), (Some(64 << 10), 1));
    }

    #[test]
    fn names_of_allocators_are_printable_and_bounded() {
        let names = |text: &str| {
            let mut complaints = 0;
            let names = parse(text.as_bytes(), &mut |_, _| complaints += 1)
                .allocators
                .map(<[u8]>::to_vec);
            (names, complaints)
        };
        let known = b"my_alloc|Pool::get*".to_vec();
        assert_eq!(names("allocators=my_alloc|Pool::get*,rate=1"), (Some(known), 0));
        assert_eq!(names("allocators="), (None, 1));
        assert_eq!(names("allocators=a\u{1}b"), (None, 1));
        assert_eq!(names(&format!("allocators={}", "x".repeat(1025))), (None, 1));
    }

    #[test]
    fn own_memory_has_a_least_bound() {
        let own = |text: &str| parse(text.as_bytes(), &mut |_, _| ()).own;
        assert_eq!(own("own=64MiB"), Some(64 << 20));
        assert_eq!(own("own=16MiB"), Some(16 << 20));
        assert_eq!(own("rate=1"), None);
        assert_eq!(own("own=15MiB"), None);
        assert_eq!(complaint("own=15MiB"), Some("not a number of bytes from 16MiB on:"));
    }

    fn dumps(text: &str) -> (DumpSettings<'_>, usize) {
        let mut complaints = 0;
        (parse(text.as_bytes(), &mut |_, _| complaints += 1).dump, complaints)
    }

    #[test]
    fn dumps_need_a_place_and_an_occasion() {
        let all = DumpSettings {
            prefix: Some(b"/var/tmp/x=y"),
            limit: Some(2 << 30),
            grow: Some(1.5),
            signal: Some(libc::SIGUSR2),
            keep: Some(4),
        };
        assert_eq!(
            dumps("dump=/var/tmp/x=y,limit=2GiB,grow=1.5,signal=SIGUSR2,keep=4"),
            (all, 0)
        );
        assert_eq!(dumps("dump=a,signal=USR1").0.signal, Some(libc::SIGUSR1));
        assert_eq!(dumps("dump=a"), (DumpSettings::default(), 1));
        assert_eq!(dumps("dump=a,keep=3"), (DumpSettings::default(), 1));
        assert_eq!(dumps("limit=1G").1, 1);
        for bad in [
            "limit=0",
            "limit=x",
            "grow=1",
            "grow=NaN",
            "grow=inf",
            "grow=2x",
            "signal=SIGKILL",
            "signal=12",
            "keep=0",
            "keep=-1",
            "dump=",
        ] {
            let text = format!("dump=a,limit=1G,{bad}");
            let (asked, complaints) = dumps(&text);
            assert_eq!(
                (asked.prefix, asked.limit, complaints),
                (Some(&b"a"[..]), Some(1 << 30), 1),
                "{bad}"
            );
        }
    }
}
