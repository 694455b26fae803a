//! Files that are cut short under those who have them mapped. Every access behind the new end raises SIGBUS; the library
//! takes the signal, and its handles tell what happened.
#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use partywall::{LockError, Namespace, RecvError, SendError, inspect};
use rustix::mm::{MapFlags, ProtFlags, mmap};

use crate::common::Place;
use crate::patterns::{
    CHANNEL, consumer, lane_sender, listener, producer, publisher, reader, receiver, record,
    sender, subscriber, writer,
};
use crate::process::{run, said};

const MOMENT: Option<Duration> = Some(Duration::from_millis(500));

pub(crate) fn cut(place: &Path, name: &str, len: u64) {
    let path = place.join(CHANNEL).join(name);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}

/// What a handle tells: whether it is an error that says what happened.
pub(crate) type Ask = Box<dyn FnMut() -> Result<bool, String>>;

/// Opens both sides: the owner's, and a peer's.
type Open = fn(&Namespace) -> (Ask, Ask);

pub(crate) fn sending<T>(told: Result<T, SendError>) -> Result<bool, String> {
    match told {
        Ok(_) => Ok(false),
        Err(SendError::Damaged { .. }) => Ok(true),
        Err(other) => Err(other.to_string()),
    }
}

pub(crate) fn receiving<T>(told: Result<T, RecvError>) -> Result<bool, String> {
    match told {
        Ok(_) => Ok(false),
        Err(RecvError::Damaged { .. }) => Ok(true),
        Err(other) => Err(other.to_string()),
    }
}

/// The owner and a peer of each pattern, with something in the channel that the peer has not read.
fn everybody() -> [(&'static str, Open); 6] {
    [
        ("ring", |namespace| {
            let mut producer = producer(namespace, true).open(CHANNEL).unwrap();
            let mut consumer = consumer(namespace, true).attach(CHANNEL).unwrap();
            producer.send(b"unread").unwrap();
            let take = move || receiving(consumer.recv_timeout(MOMENT.unwrap()));
            (
                Box::new(move || sending(producer.send(b"more"))),
                Box::new(take),
            )
        }),
        ("snapshot", |namespace| {
            let mut writer = writer(namespace, true).open(CHANNEL).unwrap();
            writer.put(b"unread").unwrap();
            let mut reader = reader(namespace, true).attach(CHANNEL).unwrap();
            (
                Box::new(move || sending(writer.put(b"more"))),
                Box::new(move || receiving(reader.get())),
            )
        }),
        ("broadcast", |namespace| {
            let mut sender = sender(namespace, true).open(CHANNEL).unwrap();
            sender.send(b"unread").unwrap();
            let mut listener = listener(namespace, true).attach(CHANNEL).unwrap();
            let take = move || receiving(listener.recv_timeout(MOMENT.unwrap()));
            (
                Box::new(move || sending(sender.send(b"more"))),
                Box::new(take),
            )
        }),
        ("frames", |namespace| {
            let publisher = publisher(namespace, true).open(CHANNEL).unwrap();
            let mut subscriber = subscriber(namespace, true).attach(CHANNEL).unwrap();
            publisher.publish_copy(b"unread").unwrap();
            let take = move || receiving(subscriber.recv_timeout(MOMENT.unwrap()));
            (
                Box::new(move || sending(publisher.publish_copy(b"more"))),
                Box::new(take),
            )
        }),
        ("mpsc", |namespace| {
            let mut receiver = receiver(namespace, true).open(CHANNEL).unwrap();
            let mut sender = lane_sender(namespace, true).attach(CHANNEL).unwrap();
            sender.send(b"unread").unwrap();
            let take = move || receiving(receiver.recv_timeout(MOMENT.unwrap()));
            (
                Box::new(take),
                Box::new(move || sending(sender.send(b"more"))),
            )
        }),
        ("guarded", |namespace| {
            let mut one = record(namespace, true).open(CHANNEL).unwrap();
            let mut guard = one.lock().unwrap().consistent();
            guard.value_mut().extend(b"unread");
            guard.commit().unwrap();
            drop(guard);
            let mut other = record(namespace, true).open(CHANNEL).unwrap();
            let lock = move || match one.lock() {
                Ok(_) => Ok(false),
                Err(LockError::Damaged { .. }) => Ok(true),
                Err(error) => Err(error.to_string()),
            };
            (Box::new(lock), Box::new(move || receiving(other.get())))
        }),
    ]
}

/// Both handles of each pattern, with each file cut to nothing: who needs what is gone says so from then on, and nobody
/// dies. Who does not need it goes on.
pub(crate) fn a_file_that_is_cut_short_under_its_handles_is_told_by_them() {
    let mut told = 0;
    for (name, open) in everybody() {
        for file in ["root", "1.owner", "1.peers"] {
            let place = Place::new();
            let (mut owner, mut peer) = open(&place.namespace);
            cut(place.path(), file, 0);
            for (side, ask) in [("owner", &mut owner), ("peer", &mut peer)] {
                // What it does not look at in one call it may look at in the next.
                let answers: Vec<_> = (0..3).map(|_| ask()).collect();
                let damaged = answers.iter().filter(|answer| **answer == Ok(true)).count();
                told += damaged;
                // Everybody needs the owner side, if not in the first call: and what was told once is told again.
                if file == "1.owner" {
                    assert_eq!(answers[1..], [Ok(true), Ok(true)], "{name}, {side}");
                }
            }
            let looked = inspect::inspect(&place.namespace, CHANNEL);
            assert!(looked.is_err(), "{name}, {file}: {looked:?}");
        }
    }
    println!("{told} answers");
    assert!(told >= 60, "{told} answers that something is damaged");
}

/// A page of the test's own, of a file that is cut short under it.
fn touch_what_is_gone(path: &Path) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path.join("own"))
        .unwrap();
    file.set_len(4096).unwrap();
    // SAFETY: a fresh mapping, placed by the kernel; the read raises SIGBUS, as it is meant to.
    unsafe {
        let base = mmap(
            std::ptr::null_mut(),
            4096,
            ProtFlags::READ,
            MapFlags::SHARED,
            &file,
            0,
        )
        .unwrap();
        file.set_len(0).unwrap();
        base.cast::<u8>().read_volatile();
    }
}

extern "C" fn leave_with_42(_: libc::c_int) {
    // SAFETY: ends the process; may be called in a signal handler.
    unsafe { libc::_exit(42) }
}

pub(crate) fn child(path: &Path, what: &str) {
    let namespace = Namespace::open(path).unwrap();
    match what {
        "declined" => {
            assert!(partywall::decline_sigbus_handler());
            let mut producer = producer(&namespace, false).open(CHANNEL).unwrap();
            assert!(!partywall::decline_sigbus_handler());
            cut(path, "1.owner", 0);
            let _ = producer.send(b"never");
        }
        "foreign" => {
            let _producer = producer(&namespace, false).open(CHANNEL).unwrap();
            touch_what_is_gone(path);
        }
        "chained" => {
            // SAFETY: the handler does nothing but end the process.
            unsafe {
                libc::signal(
                    libc::SIGBUS,
                    leave_with_42 as *const () as libc::sighandler_t,
                )
            };
            let mut producer = producer(&namespace, false).open(CHANNEL).unwrap();
            cut(path, "1.owner", 0);
            // Ours is taken care of, and does not come to the other.
            assert!(matches!(
                producer.send(b"more"),
                Err(SendError::Damaged { .. })
            ));
            touch_what_is_gone(path);
        }
        other => panic!("{other}"),
    }
    unreachable!("a signal ended it");
}

pub(crate) fn a_sigbus_that_is_not_ours_ends_the_process_as_before() {
    let place = Place::new();
    let status = run(&said("bus", place.path(), "foreign"));
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
}

pub(crate) fn a_handler_that_was_there_before_gets_what_is_not_ours() {
    let place = Place::new();
    let status = run(&said("bus", place.path(), "chained"));
    assert_eq!(status.code(), Some(42), "{status}");
}

pub(crate) fn who_declines_the_handler_dies_of_a_file_that_is_cut_short() {
    let place = Place::new();
    let status = run(&said("bus", place.path(), "declined"));
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
}
