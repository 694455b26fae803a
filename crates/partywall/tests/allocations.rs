//! The paths that promise to allocate nothing, and to ask nothing of the kernel: every allocation of a thread is counted,
//! and a thread that may make no system call any more goes on.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::Place;
use partywall::Namespace;
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

#[test]
fn the_counting_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(7)))), 1);
}

/// Publishes, takes, holds and gives back, so many times. Who finds nothing looks at the owner's lock now and then: that
/// is not among it.
fn use_frames(namespace: &Namespace, time_stamps: bool) -> impl FnMut(usize) + use<> {
    let publisher = PublisherOptions::new()
        .namespace(namespace.clone())
        .frame_size(10_000)
        .held(3)
        .time_stamps(time_stamps)
        .heartbeat(false)
        .open("f")
        .unwrap();
    let options = SubscriberOptions::new()
        .namespace(namespace.clone())
        .heartbeat(false);
    let mut reliable = options.attach("f").unwrap();
    let mut lossy = options.clone().lossy(true).attach("f").unwrap();
    let mut row = [0; 1000];
    move |rounds| {
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
            drop(publisher.loan(1).unwrap());
        }
    }
}

#[test]
fn frames_are_published_and_held_without_an_allocation() {
    let place = Place::new();
    let mut work = use_frames(&place.namespace, true);
    work(1);
    assert_eq!(allocations(|| work(10_000)), 0);
}

#[cfg(target_os = "linux")] // seccomp
#[test]
fn frames_are_published_and_held_without_a_system_call_while_nobody_sleeps() {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::sync::{Arc, mpsc};
    use std::thread;

    let place = Place::new();
    let namespace = place.namespace.clone();
    let done = Arc::new(AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    let confined = Arc::clone(&done);
    thread::spawn(move || {
        // Not every machine tells the time of a stamp without a system call.
        let mut work = use_frames(&namespace, false);
        work(1);
        tell.send(rustix::thread::gettid()).unwrap();
        // From here on this thread may end; the kernel kills it, and no other, for nearly any other system call.
        // SAFETY: it concerns this thread alone, and takes no pointer.
        let refused = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) };
        if refused == 0 {
            // For long enough that what is done once a slice is among it.
            for _ in 0..20 {
                work(10_000);
            }
            confined.store(true, Relaxed);
        }
        // SAFETY: ends this thread, which nobody joins. Its handles go with the process.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    });
    let task = format!("/proc/self/task/{}", told.recv().unwrap());
    while Path::new(&task).exists() {
        thread::yield_now();
    }
    assert!(done.load(Relaxed), "it asked the kernel for something");
}
