//! Tables that are full: what a sample still says then. One test, since the tables are those of the process.

use std::ffi::c_void;

use cgoheap::internals::record::sampler;
use cgoheap::internals::snapshot::{self, Filter, StackRecord};
use cgoheap::internals::tables::frame::{End, Frame, ObjectId};
use cgoheap::internals::tables::objects;
use cgoheap::internals::tables::stacks::{self, StackId};

unsafe extern "C" {
    fn cgoheap_malloc(size: usize) -> *mut c_void;
}

/// Allocates at the end of some calls, and says what the backtrace crate sees from there.
#[inline(never)]
fn allocate(depth: usize, size: usize) -> Vec<u64> {
    let trace = match depth {
        0 => {
            // SAFETY: malloc takes any size. The block stays.
            assert!(!unsafe { cgoheap_malloc(size) }.is_null());
            let mut trace = Vec::new();
            backtrace::trace(|frame| {
                trace.extend(Some(frame.ip() as u64).filter(|address| *address != 0));
                true
            });
            trace
        }
        _ => allocate(depth - 1, size),
    };
    std::hint::black_box(trace)
}

fn stack_of(size: usize) -> StackRecord {
    let snapshot = snapshot::take(Filter::ALL).expect("memory");
    let mut found = snapshot
        .stacks
        .iter()
        .filter(|stack| stack.values.inuse_bytes == size as i64);
    *found.next().expect("a stack of that many bytes")
}

fn addresses(stack: &StackRecord) -> Vec<u64> {
    stack.frames.iter().map(|frame| frame.return_address()).collect()
}

#[test]
fn full_tables_keep_what_a_sample_says_first() {
    // The registry of objects: neither this program nor libc has a number yet, and there are none left.
    objects::fill_for_test();
    assert!(sampler::set_interval(1));
    let theirs = allocate(20, 10_007);
    sampler::set_interval(0);
    let stack = stack_of(10_007);
    let ours = addresses(&stack);
    assert_eq!(stack.end, End::Complete);
    assert!(stack.frames.iter().all(|frame| frame.object() == ObjectId::UNKNOWN));
    let inner = theirs
        .iter()
        .position(|address| *address == ours[1])
        .expect("the same stack");
    assert_eq!(ours[1..], theirs[inner..], "unwound to its end, without numbers");
    assert!(ours.len() > 20);

    // The table of stacks: as many distinct ones as it takes, each short.
    let mut last = StackId(0);
    for n in 0..stacks::MAX_STACKS as u64 {
        let record = stacks::intern(&[Frame::go(n + 1), Frame::go(1)], End::Complete, None);
        if record.stack().end == End::TableFull {
            break;
        }
        last = record.id();
    }
    assert!(last.0 as usize > stacks::MAX_STACKS / 2, "{last:?}");
    assert!(sampler::set_interval(1));
    allocate(30, 20_011);
    let theirs = allocate(31, 20_021);
    sampler::set_interval(0);
    let stack = stack_of(20_011 + 20_021); // which differ further out only
    let ours = addresses(&stack);
    assert_eq!((stack.end, ours.len()), (End::TableFull, 8));
    let inner = theirs
        .iter()
        .position(|address| *address == ours[1])
        .expect("the same stack");
    assert_eq!(ours[1..], theirs[inner..inner + 7], "the innermost frames");

    // Shortened stacks in such numbers that there is no room for them either: shorter ones.
    let c = |n: u64| Frame::new(n, ObjectId(1));
    let long = |n: u64| {
        let mut frames: Vec<Frame> = (0..40).map(|at| if at == 5 { c(n + 1000) } else { c(at) }).collect();
        frames.extend([Frame::go(7), Frame::go(8), Frame::go(9)]);
        frames
    };
    let first = stacks::intern(&long(0), End::Complete, None).stack();
    assert_eq!(first.frames.len(), 8 + 3);
    assert_eq!(
        first.frames[8..],
        [Frame::go(7), Frame::go(8), Frame::go(9)],
        "the Go caller and its callers"
    );
    let mut shorter = (1..stacks::MAX_STACKS as u64)
        .map(|n| stacks::intern(&long(n), End::Complete, None).stack())
        .filter(|stack| stack.frames.len() != 11);
    let stack = shorter.next().expect("nearly full");
    assert_eq!(
        (stack.end, stack.frames),
        (End::TableFull, &[c(0), c(1), Frame::go(7)][..])
    );
    assert_eq!(shorter.next().expect("the same for all").id, stack.id);
    // And nothing but numbers is lost when there is no room at all.
    let none = (0..stacks::MAX_STACKS as u64)
        .map(|n| stacks::intern(&[c(n), c(n + 1), c(n + 2)], End::Complete, None).stack())
        .find(|stack| stack.frames.is_empty());
    assert_eq!(none.expect("full").id, 0);
}
