//! Threads that put rules into the unwinder's cache and get them.

#[path = "../../../src/unwind/rule_cache.rs"]
mod rule_cache;

use cgoheap_loom::check;
use loom::sync::Arc;

/// Keys and words such that half of one pair with half of another is, by exclusive or, a third key with a word that isn't its own.
const PAIRS: [(u64, u64); 3] = [(1, 0), (2, 2), (3, 4)];

fn get_all(cache: &rule_cache::RuleCache<1>) {
    for (key, word) in PAIRS {
        assert!(cache.get(key).is_none_or(|found| found == word), "another key's word");
    }
}

#[test]
fn a_rule_is_only_found_by_its_own_key() {
    check(2, || {
        let cache = Arc::new(rule_cache::RuleCache::<1>::new());
        let writers = [0, 1].map(|pair| {
            let cache = cache.clone();
            loom::thread::spawn(move || {
                let (key, word) = PAIRS[pair];
                cache.put(key, word);
            })
        });
        get_all(&cache);
        for writer in writers {
            writer.join().unwrap();
        }
        get_all(&cache);
        assert!(
            PAIRS.iter().any(|(key, _)| cache.get(*key).is_some()),
            "who is alone keeps its pair"
        );
    });
}

/// The first pair is there again when the reader looks at its key for the second time.
#[test]
fn a_rule_that_went_and_came_back_is_no_other() {
    check(2, || {
        let cache = Arc::new(rule_cache::RuleCache::<1>::new());
        let writer = loom::thread::spawn({
            let cache = cache.clone();
            move || {
                for pair in [0, 1, 0] {
                    let (key, word) = PAIRS[pair];
                    cache.put(key, word);
                }
            }
        });
        get_all(&cache);
        writer.join().unwrap();
        assert_eq!(cache.get(PAIRS[0].0), Some(PAIRS[0].1));
    });
}
