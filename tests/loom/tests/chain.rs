//! Threads that look for records in one chain, and add them: stacks, the names of sites, loaded objects.

#[path = "../../../src/tables/chain.rs"]
mod chain;

use cgoheap_loom::check;
use chain::{Link, find, find_or_add};
use core::ptr::null_mut;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicPtr, Ordering::Acquire};

struct Record {
    next: *mut Record,
    /// Loom sees it if a thread reads this without having seen that it was written.
    key: UnsafeCell<u32>,
}

impl Link for Record {
    fn link(&mut self) -> &mut *mut Record {
        &mut self.next
    }
    fn next(&self) -> *mut Record {
        self.next
    }
}

impl Record {
    fn key(&self) -> u32 {
        // SAFETY: written before it was published; whether that is seen is the question.
        self.key.with(|key| unsafe { *key })
    }

    fn new(key: u32) -> Option<&'static mut Record> {
        let record = Box::leak(Box::new(Record {
            next: null_mut(),
            key: UnsafeCell::new(0),
        }));
        // SAFETY: nobody else has it.
        record.key.with_mut(|place| unsafe { *place = key });
        Some(record)
    }
}

struct Chain(AtomicPtr<Record>);

// SAFETY: what it leads to is only read.
unsafe impl Send for Chain {}
// SAFETY: as above.
unsafe impl Sync for Chain {}

impl Chain {
    fn new() -> Arc<Chain> {
        Arc::new(Chain(AtomicPtr::new(null_mut())))
    }

    /// The record of `key`, as a number that tells it from others, and whether this added it.
    fn intern(&self, key: u32) -> (usize, bool) {
        // SAFETY: the head is given to this alone.
        let (record, added) =
            unsafe { find_or_add(&self.0, |record| record.key() == key, || Record::new(key)) }.unwrap();
        assert_eq!(record.key(), key);
        (core::ptr::from_ref(record).addr(), added)
    }

    fn keys(&self) -> Vec<u32> {
        let keys = core::cell::RefCell::new(Vec::new());
        let visit = |record: &Record| {
            keys.borrow_mut().push(record.key());
            false
        };
        // SAFETY: what the head leads to.
        assert!(unsafe { find(self.0.load(Acquire), null_mut(), visit) }.is_none());
        let mut keys = keys.into_inner();
        keys.sort_unstable();
        keys
    }
}

/// Each thread interns its keys; then they compare.
fn threads_that_intern(threads: &'static [&'static [u32]], preemptions: usize) {
    check(preemptions, move || {
        let chain = Chain::new();
        let running: Vec<_> = threads
            .iter()
            .map(|keys| {
                let chain = chain.clone();
                loom::thread::spawn(move || keys.iter().map(|key| (*key, chain.intern(*key))).collect::<Vec<_>>())
            })
            .collect();
        let found: Vec<_> = running.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let keys = chain.keys();
        for (key, (record, _)) in &found {
            assert_eq!(
                keys.iter().filter(|other| *other == key).count(),
                1,
                "each is there once"
            );
            assert_eq!(chain.intern(*key), (*record, false), "all have the same record of it");
            let adders = found.iter().filter(|(other, (_, added))| other == key && *added);
            assert_eq!(adders.count(), 1, "one thread has added it");
        }
    });
}

#[test]
fn threads_that_add_the_same_record_agree_on_it() {
    threads_that_intern(&[&[1], &[1], &[1]], 2);
}

#[test]
fn records_that_are_added_at_once_are_all_there() {
    threads_that_intern(&[&[1, 2], &[2, 1]], 3);
}
