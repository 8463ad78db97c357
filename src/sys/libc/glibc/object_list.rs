//! Which loaded object holds an address, where the loader has no `_dl_find_object` (glibc before 2.35): a list of ours, which hooks
//! read without a lock.
//!
//! The loader tells its objects under a lock only (dl_iterate_phdr), and a hook may not wait for that: a program's own callback may
//! hold it as long as it likes, and a child forked meanwhile finds it held for ever. So there is a copy. Whether it still holds is
//! seen by the loader's two counters, of objects that were ever added and of those that are there. If it doesn't, whoever begins a walk
//! makes it anew ([`renew`]), if the loader's lock is to be had at once; else after a few tries nothing is known.
//!
//! ```text
//!   ld.so's variables (_rtld_global)                        ours
//!   | _dl_ns[0]._ns_loaded    | the list's first object
//!   | _dl_ns[0]._ns_nloaded   | objects that are there  ->  List.loaded
//!   |  ...                    |
//!   | _dl_load_write_lock     | held while either changes
//!   | (a lock of 2.34.x)      |
//!   | _dl_load_adds           | objects ever added      ->  List.adds
//! ```
//!
//! Nothing public leads to these variables, and where they lie depends on the version. So they are looked for, once, in the middle of a
//! dl_iterate_phdr: there the lock is the one that this thread holds, with the number behind it that dl_iterate_phdr tells. Where that
//! isn't found, only what is never unloaded is in the list: the program, the C library and the object that we are in.
//!
//! The copy is changed in place, between two changes of its version: a reader that sees the same even version before and after has
//! read what belongs together (a sequence lock). So there are no old copies to give back.
//!
//! The loader unmaps an object a moment before it counts it as gone, and in that moment something else may be mapped there that runs:
//! what a compiler at run time made. So while the loader's lock is held an answer is looked at once more before it is given.

use core::ffi::{c_int, c_void};
use core::mem::size_of;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use crate::sys::arch::page_size;
use crate::sys::arch::system_call::system_call;
use crate::sys::lock::Lock;
use crate::sys::readable::page_is_readable;
use crate::sys::{process, spare_stack};

/// Objects that the list holds at most; nothing is known of what is loaded beyond.
const MOST: usize = 4096;
/// How often a list is looked at that is just being changed.
const ATTEMPTS: usize = 64;

/// Start, end, load bias, address of the name, address of `.eh_frame_hdr`.
type Words = [AtomicU64; 5];

/// Atomic, because hooks read while another thread makes it anew, and then notice by the version.
struct List {
    /// Odd while the list is made; 0 before the first time.
    version: AtomicU32,
    /// The loader's counters when it was made.
    adds: AtomicU64,
    loaded: AtomicU32,
    count: AtomicUsize,
    objects: [Words; MOST],
}

static LIST: List = List {
    version: AtomicU32::new(0),
    adds: AtomicU64::new(0),
    loaded: AtomicU32::new(0),
    count: AtomicUsize::new(0),
    objects: [const { [const { AtomicU64::new(0) }; 5] }; MOST],
};

/// The loader's lock and counters; null where they weren't found. Written before main, or in a library's constructor; atomic, because
/// threads may ask meanwhile. The lock is stored last.
static LOCK: AtomicPtr<libc::pthread_mutex_t> = AtomicPtr::new(null_mut());
static ADDS: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
static LOADED: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());

/// Held while the loader's lock is ours, and across a fork: a child that found the loader's lock held would wait for it for ever as
/// soon as it throws a C++ exception. Hooks never wait for it.
static MAKING: Lock<()> = Lock::new(());

/// The list was being made.
struct Changed;

/// What the list says of an object.
pub struct Listed {
    /// The addresses that the loader maps for it.
    pub map: Range<u64>,
    /// Address in memory minus address in the file.
    pub load_bias: u64,
    /// As long as the object is loaded the address of a zero-terminated string: its file; empty for the program.
    pub name: u64,
    /// Start of `.eh_frame_hdr`; 0 when there is none.
    pub unwind_header: u64,
}

/// The object that holds `address`, by the list as it is; `None` too when it isn't right any more. The object must stay loaded while the
/// answer is used. Context: hook.
#[inline]
pub fn find(address: u64) -> Option<Listed> {
    for _ in 0..ATTEMPTS {
        let version = LIST.version.load(Acquire);
        if !LIST.is_current() {
            return None;
        }
        if let Ok(found) = LIST.look_up(address, version) {
            return found.filter(|object| !is_loader_busy() || object.is_there());
        }
        process::give_way();
    }
    None
}

/// Whether a thread is adding objects or taking some away, or looks at them.
fn is_loader_busy() -> bool {
    // SAFETY: null, or the loader's lock, which begins with a word that is 0 when nobody has it, and is changed as a whole.
    unsafe { LOCK.load(Acquire).cast::<AtomicU32>().as_ref() }.is_some_and(|word| word.load(Relaxed) != 0)
}

impl Listed {
    /// Where it begins, and its unwind tables, there is something. Not, if it was just unmapped; what may have taken its place is told
    /// from it by what is there.
    #[cold]
    #[inline(never)]
    fn is_there(&self) -> bool {
        page_is_readable(self.map.start) && (self.unwind_header == 0 || page_is_readable(self.unwind_header))
    }
}

/// Makes the list anew, if objects have come or gone since. Not everybody has the stack for this, so [`find`] doesn't do it: whoever walks a
/// stack does it first. What is on the stack by then stays loaded, and what comes later isn't on it. Context: hook.
#[cold]
#[inline(never)]
pub fn renew() {
    for _ in 0..ATTEMPTS {
        if LOCK.load(Acquire).is_null() || LIST.is_whole_and_current() || spare_stack::run(remake) == Some(true) {
            return;
        }
        process::give_way();
    }
}

/// Makes the list for the first time. Context: outside hooks, in a constructor.
pub fn learn() {
    let mut search = Search {
        adds: 0,
        loaded: 0,
        debug: 0,
        first: 0,
    };
    // SAFETY: `look_into_loader` neither unwinds nor keeps the pointer.
    unsafe { libc::dl_iterate_phdr(Some(look_into_loader), (&raw mut search).cast()) };
    LIST.make();
}

/// Makes the list anew, if the loader's lock is free; false if not. Context: hook.
fn remake() -> bool {
    let Some(_making) = MAKING.try_lock() else { return false };
    let lock = LOCK.load(Acquire);
    // SAFETY: the loader's own lock, which lives as long as the loader. This thread may hold it already: it is a recursive one.
    if lock.is_null() || unsafe { libc::pthread_mutex_trylock(lock) } != 0 {
        return false;
    }
    LIST.make();
    // SAFETY: taken above.
    unsafe { libc::pthread_mutex_unlock(lock) };
    true
}

/// Nobody makes the list from here on, until [`unlock_after_fork`]. Context: outside hooks, before a fork.
pub fn lock_for_fork() {
    MAKING.lock_for_fork();
}

/// Ends what [`lock_for_fork`] began.
///
/// # Safety
/// The calling thread called that, before the fork.
pub unsafe fn unlock_after_fork() {
    // SAFETY: says the caller.
    unsafe { MAKING.unlock_after_fork() };
}

impl List {
    fn is_current(&self) -> bool {
        let (adds, loaded) = (ADDS.load(Relaxed), LOADED.load(Relaxed));
        // SAFETY: null, or the loader's variables, which it changes as a whole.
        match unsafe { (adds.as_ref(), loaded.as_ref()) } {
            (Some(adds), Some(loaded)) => {
                adds.load(Relaxed) == self.adds.load(Relaxed) && loaded.load(Relaxed) == self.loaded.load(Relaxed)
            }
            _ => self.version.load(Relaxed) != 0,
        }
    }

    /// Not being made, by somebody who is there or who isn't any more, and right.
    fn is_whole_and_current(&self) -> bool {
        self.version.load(Acquire) & 1 == 0 && self.is_current()
    }

    /// As the list was at `version`.
    fn look_up(&self, address: u64, version: u32) -> Result<Option<Listed>, Changed> {
        let count = self.count.load(Relaxed);
        let found = self.objects.iter().take(count).find_map(|words| {
            let [start, end, load_bias, name, unwind_header] = words;
            let map = start.load(Relaxed)..end.load(Relaxed);
            map.contains(&address).then(|| Listed {
                map,
                load_bias: load_bias.load(Relaxed),
                name: name.load(Relaxed),
                unwind_header: unwind_header.load(Relaxed),
            })
        });
        fence(Acquire); // what was read belongs to the version, if that is still the same
        match version & 1 == 0 && self.version.load(Relaxed) == version {
            true => Ok(found),
            false => Err(Changed),
        }
    }

    /// Fills the list. To be called by one thread at a time: by who holds the loader's lock. Who was at it in the parent of a fork isn't
    /// there to end it, so an odd version says nothing to the one who has the lock.
    fn make(&self) {
        let version = self.version.load(Relaxed);
        self.version.store(version | 1, Relaxed);
        fence(Release); // before anything that follows
        self.count.store(0, Relaxed);
        // SAFETY: `add` neither unwinds nor keeps the pointer, which it doesn't use.
        unsafe { libc::dl_iterate_phdr(Some(add), null_mut()) };
        // SAFETY: null, or the loader's variable.
        if let Some(loaded) = unsafe { LOADED.load(Relaxed).as_ref() } {
            self.loaded.store(loaded.load(Relaxed), Relaxed);
        }
        self.version.store((version | 1).wrapping_add(1), Release);
    }
}

fn segments(object: &libc::dl_phdr_info) -> &[libc::Elf64_Phdr] {
    // SAFETY: the program headers of a loaded object, as libc says.
    unsafe { core::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum as usize) }
}

fn loaded_segments(object: &libc::dl_phdr_info) -> impl Iterator<Item = (&libc::Elf64_Phdr, u64, u64)> {
    let bias = object.dlpi_addr;
    let loaded = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD;
    segments(object).iter().filter(loaded).map(move |header| {
        let start = bias.wrapping_add(header.p_vaddr);
        (header, start, start.saturating_add(header.p_memsz))
    })
}

/// Adds one object to the list. Context: hook.
unsafe extern "C" fn add(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: libc's description, valid during the call.
    let object = unsafe { &*object };
    LIST.adds.store(object.dlpi_adds, Relaxed);
    let (mut start, mut end) = (u64::MAX, 0);
    for (_, from, to) in loaded_segments(object) {
        (start, end) = (start.min(from), end.max(to));
    }
    start &= !(page_size::SMALLEST as u64 - 1);
    let holds = |address: usize| (start..end).contains(&(address as u64));
    if LOCK.load(Relaxed).is_null()
        && !holds(&raw const LIST as usize)
        && !holds(libc::dl_iterate_phdr as *const () as usize)
    {
        // SAFETY: reads what the kernel gave the process.
        let program = unsafe { libc::getauxval(libc::AT_PHDR) };
        if object.dlpi_phdr as u64 != program {
            return 0;
        }
    }
    let unwind_header = segments(object)
        .iter()
        .find(|header| header.p_type == libc::PT_GNU_EH_FRAME)
        .map_or(0, |header| object.dlpi_addr.wrapping_add(header.p_vaddr));
    let index = LIST.count.load(Relaxed);
    let Some(words) = LIST.objects.get(index) else { return 0 };
    let values = [start, end, object.dlpi_addr, object.dlpi_name as u64, unwind_header];
    for (word, value) in words.iter().zip(values) {
        word.store(value, Relaxed);
    }
    LIST.count.store(index + 1, Relaxed);
    0
}

/// What is looked for in the loader.
struct Search {
    /// As dl_iterate_phdr tells them.
    adds: u64,
    loaded: u64,
    /// `struct r_debug` of <link.h>, a variable of the loader's.
    debug: u64,
    /// The first object's entry.
    first: u64,
}

/// The first object is the program, which leads to `r_debug`; the object that this lies in is the loader. Ends there with 1.
unsafe extern "C" fn look_into_loader(object: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
    const DT_NULL: u64 = 0;
    const DT_DEBUG: u64 = 21;
    // SAFETY: libc's description, valid during the call, and the pointer given to dl_iterate_phdr, used by nobody else.
    let (object, search) = unsafe { (&*object, &mut *search.cast::<Search>()) };
    if search.debug == 0 {
        let Some(dynamic) = segments(object).iter().find(|header| header.p_type == libc::PT_DYNAMIC) else {
            return 1; // a static program
        };
        let entries = object.dlpi_addr.wrapping_add(dynamic.p_vaddr) as *const [u64; 2];
        let entries = (0..dynamic.p_memsz as usize / size_of::<[u64; 2]>())
            // SAFETY: the dynamic section of the program, of this length.
            .map(|index| unsafe { *entries.add(index) })
            .take_while(|[tag, _]| *tag != DT_NULL);
        for [tag, value] in entries {
            if tag == DT_DEBUG {
                search.debug = value;
            }
        }
        if search.debug == 0 {
            return 1;
        }
        // SAFETY: the loader has filled in where its r_debug is: a version, and the first object's entry.
        search.first = unsafe { *(search.debug as *const u64).add(1) };
        search.adds = object.dlpi_adds;
        search.loaded = object.dlpi_adds.wrapping_sub(object.dlpi_subs);
    }
    if !loaded_segments(object).any(|(_, start, end)| (start..end).contains(&search.debug)) {
        return 0;
    }
    for (header, start, end) in loaded_segments(object) {
        if header.p_flags & libc::PF_W != 0 {
            let start = start.next_multiple_of(8);
            let words = (end.saturating_sub(start) / 8) as usize;
            // SAFETY: a segment of the loader's. What other threads change meanwhile is read as numbers that fit nothing; the
            // variables that are looked for stay, while this thread holds the loader's lock.
            search.look_at(unsafe { core::slice::from_raw_parts(start as *const AtomicU64, words) });
        }
    }
    1
}

/// Where something is that must be there once.
#[derive(Clone, Copy)]
enum Once {
    Never,
    At(usize),
    Often,
}

impl Once {
    fn note(&mut self, at: usize, is_there: bool) {
        if is_there {
            *self = match self {
                Once::Never => Once::At(at),
                _ => Once::Often,
            };
        }
    }
}

impl Search {
    /// Finds the three variables among `words`, and publishes them, if each is there once.
    fn look_at(&self, words: &[AtomicU64]) {
        const MUTEX: usize = size_of::<libc::pthread_mutex_t>() / size_of::<u64>();
        // SAFETY: always succeeds.
        let Ok(thread) = (unsafe { system_call(libc::SYS_gettid, [0; 6]) }) else {
            return;
        };
        let word = |at: usize| words.get(at).map_or(0, |word| word.load(Relaxed));
        // A pthread_mutex_t begins with: lock, count; owner, users; kind.
        let is_held = |at: usize| {
            const RECURSIVE: u64 = libc::PTHREAD_MUTEX_RECURSIVE as u64;
            const KINDS: u64 = 127;
            let (lock, owner, kind) = (word(at), word(at + 1), word(at + 2));
            lock as u32 != 0 && lock >> 32 != 0 && owner as u32 as usize == thread && kind & KINDS == RECURSIVE
        };
        // The number of objects added stands right behind the lock, or behind one more. The thread may hold the lock before that one
        // too, so the nearer one counts.
        let (mut near, mut far, mut namespace) = (Once::Never, Once::Never, Once::Never);
        for at in 0..words.len() {
            if is_held(at) {
                near.note(at, word(at + MUTEX) == self.adds);
                far.note(at, word(at + 2 * MUTEX) == self.adds);
            }
            namespace.note(at, word(at) == self.first && word(at + 1) == self.loaded);
        }
        let (lock, adds) = match (near, far) {
            (Once::At(at), _) => (at, at + MUTEX),
            (Once::Never, Once::At(at)) => (at, at + 2 * MUTEX),
            _ => return,
        };
        let Once::At(namespace) = namespace else { return };
        if let (Some(loaded), Some(lock), Some(adds)) = (words.get(namespace + 1), words.get(lock), words.get(adds)) {
            LOADED.store(loaded.as_ptr().cast(), Relaxed);
            ADDS.store(adds.as_ptr().cast(), Relaxed);
            LOCK.store(lock.as_ptr().cast(), Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::libc::loaded_object;
    use crate::sys::pages;
    use core::ffi::{CStr, c_char};
    use std::sync::{Mutex, MutexGuard, mpsc};

    /// The list, as it is on a glibc without `_dl_find_object`: a test's own meanwhile.
    fn list() -> MutexGuard<'static, ()> {
        static ONE: Mutex<bool> = Mutex::new(false);
        static OWN: Mutex<()> = Mutex::new(());
        let mut learnt = ONE.lock().unwrap();
        if !*learnt {
            *learnt = true;
            learn();
        }
        OWN.lock().unwrap_or_else(|error| error.into_inner())
    }

    type Description = (Range<u64>, u64, String, u64);

    fn now(address: u64) -> Option<Listed> {
        renew();
        find(address)
    }

    fn by_list(address: u64) -> Option<Description> {
        now(address).map(|object| {
            describe(
                object.map,
                object.load_bias,
                object.name as *const c_char,
                object.unwind_header,
            )
        })
    }

    fn by_loader(address: u64) -> Option<Description> {
        let object = loaded_object::holding(address)?;
        Some(describe(
            object.map,
            object.load_bias,
            object.name,
            object.unwind_header,
        ))
    }

    fn describe(map: Range<u64>, load_bias: u64, name: *const c_char, unwind_header: u64) -> Description {
        // SAFETY: objects that stay loaded while they are looked at.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        (map, load_bias, name, unwind_header)
    }

    const LIBRARY: &CStr = c"libresolv.so.2";

    struct Library(*mut c_void);

    impl Library {
        fn open() -> Library {
            // SAFETY: a library of libc's, without constructors.
            let handle = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW) };
            assert!(!handle.is_null());
            Library(handle)
        }

        fn address(&self) -> u64 {
            // SAFETY: a handle that is open, and a zero-terminated name.
            unsafe { libc::dlsym(self.0, c"ns_sprintrr".as_ptr()) as u64 }
        }
    }

    impl Drop for Library {
        fn drop(&mut self) {
            // SAFETY: nothing of it is in use.
            unsafe { libc::dlclose(self.0) };
        }
    }

    #[test]
    fn the_list_says_what_the_loader_says() {
        let _own = list();
        assert!(!LOCK.load(Relaxed).is_null(), "the loader's variables weren't found");
        let library = Library::open();
        let local = 0u64;
        // SAFETY: reads what the kernel gave the process.
        let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        for address in [
            find as *const () as u64,
            libc::getpid as *const () as u64,
            // SAFETY: a zero-terminated name.
            unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__tls_get_addr".as_ptr()) as u64 },
            library.address(),
            vdso,
            &raw const local as u64,
            0,
            u64::MAX,
        ] {
            let mut expected = by_loader(address);
            let listed = by_list(address);
            // The loader has one answer for each segment of a program with gaps between them, as on arm64.
            if let (Some((map, ..)), Some((whole, _, name, _))) = (&mut expected, &listed)
                && name.is_empty()
            {
                assert!(whole.start <= map.start && map.end <= whole.end, "{map:?}, {whole:?}");
                *map = whole.clone();
            }
            assert_eq!(listed, expected, "{address:#x}");
            let expected = expected.map(|(_, _, _, header)| header).filter(|header| *header != 0);
            assert_eq!(header_by_c(address), expected, "{address:#x}");
        }
    }

    fn header_by_c(address: u64) -> Option<u64> {
        let mut result = [0u64; 12]; // struct dl_find_object
        unsafe extern "C" {
            fn cgoheap_internal_find_in_list(address: *mut c_void, result: *mut [u64; 12]) -> c_int;
        }
        // SAFETY: room for the result.
        let code = unsafe { cgoheap_internal_find_in_list(address as *mut c_void, &raw mut result) };
        (code == 0).then_some(result[4])
    }

    #[test]
    fn libraries_that_come_and_go_are_noticed_by_all_threads() {
        let _own = list();
        let closed = std::thread::scope(|scope| {
            let (stop, stopped) = mpsc::channel::<()>();
            let (own, libc) = (find as *const () as u64, libc::getpid as *const () as u64);
            scope.spawn(move || {
                let mut asked = 0;
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    for address in [own, libc] {
                        // Nothing may be known while a library comes, but never something wrong.
                        if let Some(object) = now(address) {
                            assert!(object.map.contains(&address));
                            asked += 1;
                        }
                    }
                }
                assert!(asked > 0);
            });
            let mut closed = 0;
            for _ in 0..200 {
                let library = Library::open();
                let address = library.address();
                assert!(eventually(
                    || now(address).is_some_and(|object| object.map.contains(&address))
                ));
                drop(library);
                // Another test may have it open.
                if loaded_object::holding(address).is_none() {
                    closed += 1;
                    assert!(eventually(|| now(address).is_none()));
                }
            }
            drop(stop);
            closed
        });
        assert!(closed > 0);
    }

    /// The loader's lock may be busy at any one moment.
    fn eventually(mut what: impl FnMut() -> bool) -> bool {
        (0..1000).any(|_| {
            what() || {
                std::thread::yield_now();
                false
            }
        })
    }

    #[test]
    fn nobody_waits_for_the_loaders_lock() {
        let _own = list();
        let own = find as *const () as u64;
        assert!(eventually(|| now(own).is_some()));
        let ((entered, wait_entered), (leave, wait_leave)) = (mpsc::channel::<()>(), mpsc::channel::<()>());
        struct Both(mpsc::Sender<()>, mpsc::Receiver<()>);
        unsafe extern "C" fn hold(_: *mut libc::dl_phdr_info, _: usize, both: *mut c_void) -> c_int {
            // SAFETY: the pair below.
            let Both(entered, leave) = unsafe { &*both.cast::<Both>() };
            entered.send(()).unwrap();
            let _ = leave.recv();
            1
        }
        let holder = std::thread::spawn(move || {
            let both = Both(entered, wait_leave);
            // SAFETY: `hold` doesn't unwind, unless the test fails.
            unsafe { libc::dl_iterate_phdr(Some(hold), (&raw const both).cast_mut().cast()) };
        });
        wait_entered.recv().unwrap();
        assert!(now(own).is_some(), "a list that holds needs no lock");
        LIST.adds.store(u64::MAX, Relaxed);
        assert!(now(own).is_none(), "it can't be made anew now");
        drop(leave);
        holder.join().unwrap();
        assert!(eventually(|| now(own).is_some()));
    }

    #[test]
    fn what_is_no_longer_there_is_not_found_while_the_loader_is_busy() {
        let _own = list();
        assert!(eventually(|| now(find as *const () as u64).is_some()));
        const BYTES: usize = 2 * pages::PAGE;
        let gone = pages::map(BYTES).unwrap().as_ptr() as u64;
        unsafe extern "C" fn hold(_: *mut libc::dl_phdr_info, _: usize, gone: *mut c_void) -> c_int {
            let gone = gone as u64;
            renew();
            // As if it were the last object's, that the loader has just unmapped.
            let last = &LIST.objects[LIST.count.load(Relaxed) - 1];
            let before = last.each_ref().map(|word| word.load(Relaxed));
            for (word, value) in last.iter().zip([gone, gone + BYTES as u64, gone, 0, gone]) {
                word.store(value, Relaxed);
            }
            let mapped = find(gone).is_some();
            // SAFETY: a mapping of the test's own, which nobody uses.
            unsafe { libc::mprotect(gone as *mut c_void, BYTES, libc::PROT_NONE) };
            let unmapped = find(gone).is_some();
            for (word, value) in last.iter().zip(before) {
                word.store(value, Relaxed);
            }
            c_int::from(mapped) + 2 * c_int::from(unmapped)
        }
        // SAFETY: `hold` neither unwinds nor keeps the pointer.
        let found = unsafe { libc::dl_iterate_phdr(Some(hold), gone as *mut c_void) };
        assert_eq!(found, 1, "while it is mapped, and not after");
    }

    /// In a process of its own, where nobody else takes the loader's lock.
    #[test]
    fn a_child_never_finds_the_loaders_lock_held_by_us() {
        const NAME: &str = "a_child_never_finds_the_loaders_lock_held_by_us";
        if std::env::var_os("CGOHEAP_TEST_ALONE").is_none() {
            let path = format!("{}::{NAME}", module_path!().split_once("::").unwrap().1);
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &path, "--test-threads=1"])
                .env("CGOHEAP_TEST_ALONE", "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{path}: {text}");
            return;
        }
        let _own = list();
        assert!(!LOCK.load(Relaxed).is_null(), "the loader's variables weren't found");
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let (stop, stopped) = mpsc::channel::<()>();
            let made = &made;
            scope.spawn(move || {
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    LIST.adds.store(u64::MAX, Relaxed);
                    made.fetch_add(usize::from(remake()), Relaxed);
                }
            });
            unsafe extern "C" fn first(_: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
                1
            }
            for _ in 0..200 {
                // SAFETY: the child calls nothing that needs another thread.
                unsafe {
                    let child = libc::fork();
                    assert!(child >= 0);
                    if child == 0 {
                        libc::alarm(20);
                        libc::dl_iterate_phdr(Some(first), null_mut());
                        libc::_exit(0);
                    }
                    let mut status = 0;
                    assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                    assert_eq!(status, 0, "the child waited for the loader's lock");
                }
            }
            drop(stop);
        });
        assert!(made.into_inner() > 0);
    }

    #[test]
    fn a_list_whose_maker_is_gone_is_made_anew() {
        let _own = list();
        let own = find as *const () as u64;
        LIST.version.fetch_or(1, Relaxed); // as a fork leaves it
        LIST.count.store(0, Relaxed);
        assert!(eventually(|| now(own).is_some()));
    }
}
