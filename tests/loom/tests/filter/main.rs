//! Threads that record, free and move the filter to a larger array.

#![allow(dead_code, reason = "the filter is built as it is; the model uses part of it")]

mod array;
#[path = "../../../../src/tables/blocks/filter/mod.rs"]
mod filter;

/// As in src/tables/blocks/mod.rs, as far as fingerprints are concerned.
const fn hash(address: u64) -> u64 {
    address.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

use array::Array;
use cgoheap_loom::check;
use filter::{Filter, Moving, Part, slot_hash};
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};
use loom::sync::{Arc, Mutex};

const SHARDS: usize = 2;

struct Model {
    filter: Filter,
    moving: Mutex<Moving>,
    shards: [Mutex<(Part, Vec<u64>)>; SHARDS],
    /// Where one thread leaves the address of a block for another: what orders the two in a program without a race.
    handed_over: AtomicU64,
}

impl Model {
    fn new() -> Arc<Model> {
        let first = Array::new(1).unwrap();
        let shard = || Mutex::new((Part::new(first), Vec::new()));
        Arc::new(Model {
            filter: Filter::new(first),
            moving: Mutex::new(Moving::new(first)),
            shards: [shard(), shard()],
            handed_over: AtomicU64::new(0),
        })
    }

    fn record(&self, address: u64) {
        let mut shard = self.shards[slot_hash(address) as usize % SHARDS].lock().unwrap();
        shard.0.insert(&self.filter, address);
        shard.1.push(address);
    }

    fn forget(&self, address: u64) {
        let mut shard = self.shards[slot_hash(address) as usize % SHARDS].lock().unwrap();
        shard.0.remove(&self.filter, address);
        shard.1.retain(|other| *other != address);
    }

    /// One live sample is too many for two slots: all steps of the move to eight.
    fn grow(&self) {
        for _ in 0..SHARDS {
            let mut moving = self.moving.lock().unwrap();
            moving.step(&self.filter, 1, 1, SHARDS, |index, to| {
                let mut shard = self.shards[index].lock().unwrap();
                let blocks = shard.1.clone();
                shard.0.carry_over(to, blocks.into_iter());
                true
            });
        }
    }
}

/// The first `count` addresses of one slot of eight, so of one shard and of one slot of two.
fn addresses_of_one_slot(slot: usize, count: usize) -> Vec<u64> {
    (1..)
        .map(|n| n * 16)
        .filter(|a| slot_hash(*a) as usize % 8 == slot)
        .take(count)
        .collect()
}

#[test]
fn a_free_in_another_thread_finds_the_block_while_the_filter_grows() {
    let block = addresses_of_one_slot(5, 1)[0];
    check(3, move || {
        let model = Model::new();
        let recording = loom::thread::spawn({
            let model = model.clone();
            move || {
                model.record(block);
                model.handed_over.store(block, Release);
            }
        });
        let growing = loom::thread::spawn({
            let model = model.clone();
            move || model.grow()
        });
        let address = model.handed_over.load(loom::sync::atomic::Ordering::Acquire);
        if address != 0 {
            assert!(
                model.filter.may_contain(address),
                "the free misses that its block is sampled"
            );
            model.forget(address);
        }
        recording.join().unwrap();
        growing.join().unwrap();
        assert_eq!(model.filter.may_contain(block), address == 0);
    });
}

#[test]
fn taking_off_a_block_of_the_same_slot_never_hides_another() {
    let blocks = addresses_of_one_slot(2, 2);
    check(3, move || {
        let (stays, goes) = (blocks[0], blocks[1]);
        let model = Model::new();
        model.record(goes);
        let growing = loom::thread::spawn({
            let model = model.clone();
            move || model.grow()
        });
        let recording = loom::thread::spawn({
            let model = model.clone();
            move || {
                model.record(stays);
                model.handed_over.store(stays, Relaxed);
                assert!(model.filter.may_contain(stays));
            }
        });
        model.forget(goes);
        recording.join().unwrap();
        assert!(model.filter.may_contain(stays));
        growing.join().unwrap();
        assert!(model.filter.may_contain(stays));
        model.forget(stays);
        assert!(!model.filter.may_contain(stays) && !model.filter.may_contain(goes));
    });
}
