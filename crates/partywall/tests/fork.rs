//! A forked child is no second writer, and does not keep its parent's locks alive.
#![allow(unsafe_code)]

mod common;

use std::process::ExitCode;

use common::Place;
use partywall::{RecvError, SendError, inspect};

/// Forks; the child does something and ends with its code, without running this process's destructors.
fn in_child(act: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the tests below are this process's only thread but for the harness's, which holds no lock that
    // the child needs; the child ends by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            let code = act();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code.into()) }
        }
        pid => {
            assert!(pid > 0);
            pid
        }
    }
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of ours; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}

fn children_get_an_error_and_harm_nobody() {
    let place = Place::new();
    let mut producer = place.producer().heartbeat(false).open("c").unwrap();
    let mut consumer = place.consumer().heartbeat(false).attach("c").unwrap();
    producer.send(b"before").unwrap();
    let child = in_child(|| {
        let sent = producer.send(b"from the child");
        let received = consumer.recv();
        let both = matches!(sent, Err(SendError::Forked { .. }))
            && matches!(received, Err(RecvError::Forked { .. }));
        // Dropping them here closes nothing and frees no seat.
        // SAFETY: the originals are never used again in this process.
        unsafe {
            drop(std::ptr::read(&raw const producer));
            drop(std::ptr::read(&raw const consumer));
        }
        // What the error advises: the child's own handles work.
        let mut producer = place.producer().open("d").unwrap();
        let mut consumer = place.consumer().attach("d").unwrap();
        producer.send(b"the child's own").unwrap();
        let works = &consumer.recv().unwrap()[..] == b"the child's own";
        producer.close().unwrap();
        drop(consumer);
        u8::from(!both || !works)
    });
    assert_eq!(wait(child), 0);
    producer.send(b"after").unwrap();
    assert_eq!(&consumer.recv().unwrap()[..], b"before");
    assert_eq!(&consumer.recv().unwrap()[..], b"after");
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(
        (info.state, info.owner),
        ("ready", inspect::Liveness::Alive)
    );
    assert_eq!(info.seats[0].holder, inspect::Liveness::Alive);
}

fn a_child_that_outlives_its_parent_does_not_keep_the_channel() {
    let place = Place::new();
    // The parent of the story is a child of ours: it opens, forks, and is killed.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let parent = in_child(|| {
        let producer = place.producer().heartbeat(false).open("c").unwrap();
        let grandchild = in_child(|| {
            loop {
                // Lives on until it is killed.
                // SAFETY: sleeps until a signal.
                unsafe { libc::pause() };
            }
        });
        let _ = rustix::io::write(&writer, &grandchild.to_le_bytes());
        let _ = std::mem::ManuallyDrop::new(producer);
        let pid = rustix::process::getpid();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        1
    });
    let mut bytes = [0; 4];
    assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 4);
    wait(parent);
    let adopted = place
        .producer()
        .open("c")
        .map(|producer| producer.adopted());
    let grandchild = rustix::process::Pid::from_raw(i32::from_le_bytes(bytes)).unwrap();
    rustix::process::kill_process(grandchild, rustix::process::Signal::KILL).unwrap();
    assert!(adopted.unwrap());
}

/// Without the harness, whose threads a fork would not carry over.
fn main() -> ExitCode {
    children_get_an_error_and_harm_nobody();
    a_child_that_outlives_its_parent_does_not_keep_the_channel();
    println!("2 passed, 0 failed");
    ExitCode::SUCCESS
}
