//! The paths that promise to allocate nothing: every allocation of a thread is counted.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::Place;
use partywall::frames::{PublisherOptions, SubscriberOptions, format};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; counting touches no memory but the thread's own counter, which needs
// neither allocation nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations that `work` makes in this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Times that this thread went to sleep of its own will: a system call that waits is among them.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn the_counting_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

#[test]
fn frames_are_published_and_held_without_allocation_while_nobody_sleeps() {
    let place = Place::new();
    let publisher = PublisherOptions::new()
        .namespace(place.namespace.clone())
        .frame_size(10_000)
        .held(3)
        .heartbeat(false)
        .open("f")
        .unwrap();
    let options = SubscriberOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false);
    let mut reliable = options.attach("f").unwrap();
    let mut lossy = options.clone().lossy(true).attach("f").unwrap();
    let mut row = [0; 1000];
    let mut work = |rounds: usize| {
        let mut held = [None, None];
        for round in 0..rounds {
            let mut loan = publisher.loan(10_000).unwrap();
            loan.write_at(9000, &row);
            loan.set_image(10, 10, 100, format::GREY);
            loan.publish().unwrap();
            let frame = reliable.recv().unwrap();
            frame.read_at(9000, &mut row);
            held[round % 2] = Some(frame);
            drop(lossy.try_recv().unwrap().unwrap());
            assert!(lossy.try_recv().unwrap().is_none());
            drop(publisher.loan(1).unwrap());
        }
    };
    work(1);
    let slept = sleeps();
    assert_eq!(allocations(|| work(10_000)), 0);
    // Reading the count may sleep itself.
    assert!(sleeps() - slept < 100, "nobody waits for anybody");
}
