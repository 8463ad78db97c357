//! A cache of words by key, for all threads, without a lock. A reader gets the word that was put with its key, or none.
//!
//! A slot holds the last pair that was put there, and a version: odd while a writer is at work (a sequence lock; Boehm, "Can seqlocks
//! get along with programming language memory models?", 2012).
//!
//! ```text
//!   writer   version n -> n+1 (it is the only one)   key   word   version n+2
//!   reader   version, key, word, version again: the same even one both times, or there is no answer
//! ```
//!
//! Whoever comes while a writer is at work doesn't wait: a reader finds nothing, another writer leaves it. So a thread that is
//! stopped in the middle, or interrupted by a signal whose handler comes here, holds nobody up; and of a slot whose writer did
//! not survive a fork the child just has no use. Versions have 63 bits of pairs to count: they don't come round.
//!
//! Rejected: the word, and the key exclusive-or the word (Hyatt's lockless hashing, 2002), which needs no version. A pair that
//! two writers mixed fits another key then, one that differs from theirs as the words differ: here that of a return address near
//! by. `tests/loom` tries all interleavings of this file, and finds that.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, fence};

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// All that one look touches lies in one cache line.
#[repr(align(32))]
struct Slot {
    /// How often the pair has changed, times two; one more while it changes.
    version: AtomicU64,
    key: AtomicU64,
    word: AtomicU64,
}

/// `SLOTS` pairs, a power of two.
pub struct RuleCache<const SLOTS: usize>([Slot; SLOTS]);

impl<const SLOTS: usize> RuleCache<SLOTS> {
    /// An empty cache: it has word 0 for key 0, which no frame has.
    #[cfg(not(loom))]
    pub const fn new() -> RuleCache<SLOTS> {
        RuleCache(
            [const {
                Slot {
                    version: AtomicU64::new(0),
                    key: AtomicU64::new(0),
                    word: AtomicU64::new(0),
                }
            }; SLOTS],
        )
    }

    /// An empty cache of the model.
    #[cfg(loom)]
    pub fn new() -> RuleCache<SLOTS> {
        RuleCache(core::array::from_fn(|_| Slot {
            version: AtomicU64::new(0),
            key: AtomicU64::new(0),
            word: AtomicU64::new(0),
        }))
    }

    /// By the upper bits of a product (Fibonacci hashing): each step of a walk waits for it.
    #[inline(always)]
    fn slot(&self, key: u64) -> &Slot {
        const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
        let hash = key.wrapping_mul(MULTIPLIER) >> 32;
        &self.0[(hash >> (32 - SLOTS.ilog2())) as usize % SLOTS]
    }

    /// The word that was put with `key`, if it is still there. Context: hook.
    #[inline(always)]
    pub fn get(&self, key: u64) -> Option<u64> {
        let slot = self.slot(key);
        let before = slot.version.load(Acquire);
        let (found, word) = (slot.key.load(Relaxed), slot.word.load(Relaxed));
        // Pairs with the one in `put`: who has read a word of a later pair reads a later version below.
        fence(Acquire);
        let after = slot.version.load(Relaxed);
        (found == key && before == after && before & 1 == 0).then_some(word)
    }

    /// Keeps `word` for `key`, in the place of another pair; or doesn't, when another writer is there. Context: hook.
    pub fn put(&self, key: u64, word: u64) {
        let slot = self.slot(key);
        let version = slot.version.load(Relaxed);
        let ours = version & 1 == 0
            && slot
                .version
                .compare_exchange(version, version + 1, Acquire, Relaxed)
                .is_ok();
        if ours {
            fence(Release);
            slot.key.store(key, Relaxed);
            slot.word.store(word, Relaxed);
            slot.version.store(version + 2, Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_cache_answers_only_for_the_key_it_was_given() {
        let cache = RuleCache::<16>::new();
        cache.put(0x1_0000_1234, 7);
        assert_eq!(cache.get(0x1_0000_1234), Some(7));
        assert_eq!(cache.get(0x2_0000_1234), None);
        cache.put(0x1_0000_1234, 8);
        assert_eq!(cache.get(0x1_0000_1234), Some(8));
    }

    #[test]
    fn every_slot_is_used_and_each_keeps_a_pair() {
        let cache = RuleCache::<64>::new();
        for key in 1..=1000u64 {
            cache.put(key, !key);
        }
        let kept = (1..=1000).filter(|key| cache.get(*key) == Some(!key)).count();
        assert_eq!(kept, 64);
    }

    /// In one slot, so that they meet all the time.
    #[test]
    fn threads_that_put_and_get_see_no_mixed_pairs() {
        let cache = RuleCache::<1>::new();
        let word = |key: u64| key * key / 2 % 8;
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..200_000u64 {
                        let key = 1 + (round + thread) % 8;
                        cache.put(key, word(key));
                        for key in 1..=8 {
                            assert!(cache.get(key).is_none_or(|found| found == word(key)));
                        }
                    }
                });
            }
        });
    }
}
