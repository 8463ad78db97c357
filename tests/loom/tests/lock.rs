//! Threads that take one lock. Sleeping has no end here but being woken: a wake-up that is lost is a deadlock, which loom finds.

#![allow(dead_code, reason = "the lock is built as it is; the model uses part of it")]

mod sys {
    /// Time stands still: nobody gives up.
    pub mod clock {
        pub fn monotonic_coarse_nanos() -> u64 {
            0
        }
    }

    /// futex(2), of one word.
    pub mod futex {
        use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
        use loom::sync::{Condvar, Mutex};

        #[derive(Default)]
        struct Sleepers {
            /// Who sleeps, by the number each has drawn, longest first.
            asleep: Vec<u32>,
            drawn: u32,
        }

        loom::lazy_static! {
            static ref SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers::default());
            static ref WOKEN: Condvar = Condvar::new();
        }

        pub fn wait(word: &AtomicU32, expected: u32, _timeout_nanos: Option<u64>) {
            let mut sleepers = SLEEPERS.lock().unwrap();
            // The mutex orders this with the wake-up of whoever has changed the word.
            if word.load(Relaxed) != expected {
                return;
            }
            let number = sleepers.drawn;
            sleepers.drawn += 1;
            sleepers.asleep.push(number);
            while sleepers.asleep.contains(&number) {
                sleepers = WOKEN.wait(sleepers).unwrap();
            }
        }

        pub fn wake(_word: &AtomicU32) {
            let mut sleepers = SLEEPERS.lock().unwrap();
            if !sleepers.asleep.is_empty() {
                sleepers.asleep.remove(0);
                WOKEN.notify_all();
            }
        }
    }
}

#[path = "../../../src/sys/lock.rs"]
mod lock;

use cgoheap_loom::check;
use lock::Lock;
use loom::cell::UnsafeCell;
use loom::sync::Arc;

/// Loom sees it if two threads are at the value at once, or one doesn't see what the other did.
type Counter = Lock<UnsafeCell<u32>>;

fn add_one(counter: &Counter) {
    let value = counter.lock_bounded().expect("time stands still");
    // SAFETY: the lock is held; whether that is enough is the question.
    value.with_mut(|value| unsafe { *value += 1 });
}

fn count(counter: &Counter) -> u32 {
    // SAFETY: as above.
    counter.lock().with(|value| unsafe { *value })
}

fn threads_that_add(each: &'static [u32], preemptions: usize) {
    check(preemptions, move || {
        let counter = Arc::new(Counter::new(UnsafeCell::new(0)));
        let threads: Vec<_> = each
            .iter()
            .map(|times| {
                let counter = counter.clone();
                loom::thread::spawn(move || (0..*times).for_each(|_| add_one(&counter)))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(count(&counter), each.iter().sum::<u32>());
    });
}

#[test]
fn two_threads_are_never_inside_at_once_and_none_sleeps_for_ever() {
    threads_that_add(&[2, 2], 3);
}

#[test]
fn of_three_threads_each_gets_its_turn() {
    threads_that_add(&[1, 1, 1], 2);
}

#[test]
fn who_only_tries_keeps_nobody_out() {
    check(3, || {
        let counter = Arc::new(Counter::new(UnsafeCell::new(0)));
        let other = loom::thread::spawn({
            let counter = counter.clone();
            move || add_one(&counter)
        });
        let mine = match counter.try_lock() {
            Some(value) => {
                // SAFETY: the lock is held.
                value.with_mut(|value| unsafe { *value += 1 });
                1
            }
            None => 0,
        };
        other.join().unwrap();
        assert_eq!(count(&counter), 1 + mine);
    });
}
