//! Snapshots and broadcasts through the public API: what readers get, and when it ends.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::Place;
use partywall::broadcast::{ReceiverOptions, SenderOptions, Start};
use partywall::snapshot::{ReaderOptions, WriterOptions};
use partywall::{OpenError, RecvError, SendError, StopToken, WaitStrategy, manage};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

fn writer(place: &Place) -> WriterOptions {
    WriterOptions::new()
        .namespace(place.namespace.clone())
        .value_size(4096)
}

fn reader(place: &Place) -> ReaderOptions {
    ReaderOptions::new().namespace(place.namespace.clone())
}

fn sender(place: &Place) -> SenderOptions {
    SenderOptions::new()
        .namespace(place.namespace.clone())
        .value_size(64)
}

fn receiver(place: &Place) -> ReceiverOptions {
    ReceiverOptions::new().namespace(place.namespace.clone())
}

/// Every byte of a value follows from its sequence, so that two halves of different values cannot pass.
fn content(sequence: u64, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (sequence.wrapping_mul(31) as usize + at / 64) as u8)
        .collect()
}

#[test]
fn the_latest_value_is_read_whole_while_it_is_written_without_pause() {
    for (readers, checksums, len) in [(1, false, 4096), (8, true, 4096), (3, false, 13)] {
        let place = Place::new();
        let mut writer = writer(&place).checksums(checksums).open("s").unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let handles: Vec<_> = (0..readers)
                .map(|_| {
                    let (over, place) = (&over, &place);
                    scope.spawn(move || {
                        let mut reader = reader(place).attach("s").unwrap();
                        let mut payload = Vec::new();
                        let (mut last, mut got) = (0, 0_u64);
                        while !over.load(Relaxed) || got == 0 {
                            match reader.get_into(&mut payload) {
                                Ok(Some(meta)) => {
                                    assert!(meta.sequence >= last, "back in time");
                                    assert_eq!(payload, content(meta.sequence, len));
                                    last = meta.sequence;
                                    got += 1;
                                }
                                Ok(None) | Err(RecvError::Contended { .. }) => {}
                                Err(error) => panic!("{error}"),
                            }
                        }
                        got
                    })
                })
                .collect();
            for sequence in 1..30_000 {
                writer.put(&content(sequence, len)).unwrap();
            }
            over.store(true, Relaxed);
            for handle in handles {
                assert!(handle.join().unwrap() > 0);
            }
        });
    }
}

#[cfg(target_os = "linux")] // /proc says how memory is mapped
#[test]
fn readers_map_the_writers_memory_read_only_and_store_nothing_until_they_sleep() {
    use partywall::inspect;

    let place = Place::new();
    let mut writer = writer(&place).open("s").unwrap();
    writer.put(b"one").unwrap();
    let seats = || inspect::inspect(&place.namespace, "s").unwrap().seats.len();
    let mut reader = reader(&place).wait(WaitStrategy::Park).attach("s").unwrap();
    assert_eq!(&reader.get().unwrap().unwrap()[..], b"one");
    assert_eq!(seats(), 0);
    let owner = place.path().join("s/1.owner");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut modes: Vec<&str> = maps
        .lines()
        .filter(|line| line.ends_with(owner.to_str().unwrap()))
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    modes.sort_unstable();
    assert_eq!(modes, ["r--s", "rw-s"], "the reader's, and the writer's");
    let slept = reader.changed_timeout(Duration::from_millis(1));
    assert!(
        matches!(slept, Err(RecvError::TimedOut { .. })),
        "{slept:?}"
    );
    assert_eq!(seats(), 1, "one to be woken in");
    drop(reader);
    assert_eq!(seats(), 0);
}

#[test]
fn a_sleeping_reader_is_woken_by_each_value_seat_or_no_seat() {
    let place = Place::new();
    let mut writer = writer(&place).seats(1).open("s").unwrap();
    let options = reader(&place).wait(WaitStrategy::Park);
    thread::scope(|scope| {
        let sleepers: Vec<_> = (0..3)
            .map(|_| {
                let mut reader = options.attach("s").unwrap();
                scope.spawn(move || {
                    let mut sequences = Vec::new();
                    while sequences.last() != Some(&50) {
                        sequences.push(reader.changed_timeout(LONG).unwrap().sequence);
                    }
                    sequences
                })
            })
            .collect();
        for sequence in 1..=50 {
            writer.put(&content(sequence, 10)).unwrap();
            thread::yield_now();
        }
        for sleeper in sleepers {
            let sequences = sleeper.join().unwrap();
            assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
        }
    });
}

#[test]
fn the_value_outlives_its_writer_and_the_next_one_goes_on() {
    let place = Place::new();
    let mut first = writer(&place).open("s").unwrap();
    first.put_kind(7, b"last will").unwrap();
    let mut early = reader(&place).attach("s").unwrap();
    first.abandon();
    // Who was there, and who comes later.
    let mut late = reader(&place).attach("s").unwrap();
    for reader in [&mut early, &mut late] {
        let value = reader.get().unwrap().unwrap();
        assert_eq!(
            (&value[..], value.kind, value.sequence),
            (&b"last will"[..], 7, 1)
        );
        assert!(value.age().is_some());
        assert!(!reader.has_writer());
    }
    let died = early.changed();
    assert!(matches!(died, Err(RecvError::OwnerDied { .. })), "{died:?}");
    let mut second = writer(&place).open("s").unwrap();
    assert!(second.adopted());
    assert_eq!(second.sequence(), 1);
    assert!(early.has_writer());
    assert_eq!(second.put(b"hello").unwrap(), 2);
    assert_eq!(&early.changed().unwrap()[..], b"hello");
    assert_eq!(&late.get().unwrap().unwrap()[..], b"hello");
}

#[test]
fn a_closed_snapshot_ends_for_its_readers_or_they_wait_for_the_next() {
    let place = Place::new();
    let mut first = writer(&place).open("s").unwrap();
    let mut ends = reader(&place).attach("s").unwrap();
    let mut follows = reader(&place).follow(true).attach("s").unwrap();
    first.put(b"one").unwrap();
    first.close().unwrap();
    for reader in [&mut ends, &mut follows] {
        assert_eq!(&reader.get().unwrap().unwrap()[..], b"one", "seen once");
    }
    assert!(matches!(ends.get(), Err(RecvError::Closed { .. })));
    assert!(matches!(ends.changed(), Err(RecvError::Closed { .. })));
    assert_eq!(&follows.get().unwrap().unwrap()[..], b"one", "still stands");
    let nobody = follows.changed_timeout(Duration::from_millis(5));
    assert!(
        matches!(nobody, Err(RecvError::TimedOut { .. })),
        "{nobody:?}"
    );
    let mut second = writer(&place).open("s").unwrap();
    assert!(!second.adopted());
    second.put(b"two").unwrap();
    assert_eq!(&follows.changed_timeout(LONG).unwrap()[..], b"two");
}

#[test]
fn a_snapshot_that_must_hold_larger_values_keeps_its_value() {
    let place = Place::new();
    let mut small = writer(&place).value_size(16).open("s").unwrap();
    small.put_kind(3, b"kept").unwrap();
    let too_large = small.put(&[0; 17]);
    assert!(
        matches!(
            too_large,
            Err(SendError::TooLarge {
                len: 17,
                max: 16,
                ..
            })
        ),
        "{too_large:?}"
    );
    let mut old = reader(&place).attach("s").unwrap();
    assert!(old.get().unwrap().is_some());
    small.abandon();
    let mut large = writer(&place).value_size(1000).open("s").unwrap();
    assert_eq!((large.generation(), large.max_value()), (2, 1000));
    let value = reader(&place).attach("s").unwrap().get().unwrap().unwrap();
    assert_eq!((&value[..], value.kind), (&b"kept"[..], 3));
    assert_eq!(&old.get().unwrap().unwrap()[..], b"kept");
    assert_eq!(old.generation(), 2);
    large.put(&[9; 1000]).unwrap();
    assert_eq!(old.get().unwrap().unwrap().len(), 1000);
}

#[test]
fn waits_end_at_a_stop_a_time_and_a_removal() {
    let place = Place::new();
    let mut writer = writer(&place).open("s").unwrap();
    writer.put(b"x").unwrap();
    let token = StopToken::new();
    let mut stopped = reader(&place)
        .stop_token(token.clone())
        .attach("s")
        .unwrap();
    stopped.get().unwrap();
    token.stop();
    assert!(matches!(stopped.changed(), Err(RecvError::Stopped { .. })));
    let mut removed = reader(&place).attach("s").unwrap();
    removed.get().unwrap();
    manage::remove(&place.namespace, "s", true).unwrap();
    let gone = removed.changed_timeout(LONG);
    assert!(matches!(gone, Err(RecvError::Deleted { .. })), "{gone:?}");
    // The writer notices within a slice.
    let mut sequence = 1;
    let noticed = loop {
        sequence += 1;
        match writer.put(b"y") {
            Ok(found) => assert_eq!(found, sequence),
            Err(error) => break error,
        }
    };
    assert!(matches!(noticed, SendError::Deleted { .. }), "{noticed:?}");
}

#[test]
fn a_broadcast_says_exactly_how_many_records_were_lost() {
    let place = Place::new();
    let mut sender = sender(&place).slots(16).open("b").unwrap();
    let mut receiver = receiver(&place).start(Start::At(1)).attach("b").unwrap();
    let mut accounted = 0;
    for burst in [1, 5, 15, 16, 17, 33, 1000, 3] {
        for _ in 0..burst {
            let sequence = sender.sequence() + 1;
            sender.send(&content(sequence, 40)).unwrap();
        }
        loop {
            match receiver.try_recv() {
                Ok(Some(value)) => {
                    assert_eq!(value.sequence, accounted + 1);
                    assert_eq!(&value[..], content(value.sequence, 40));
                    accounted += 1;
                }
                Ok(None) => break,
                Err(RecvError::Overrun { lost, .. }) => {
                    assert!(burst > 12, "nobody was lapped by {burst}");
                    accounted += lost;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(accounted, sender.sequence());
    }
    assert!(receiver.lost() > 0);
}

#[test]
fn a_receiver_begins_where_it_was_told_to() {
    let place = Place::new();
    let mut sender = sender(&place).slots(16).open("b").unwrap();
    let start = |start| receiver(&place).start(start).attach("b").unwrap();
    let mut before_all = start(Start::Newest);
    for sequence in 1..=40 {
        sender.send(&content(sequence, 8)).unwrap();
    }
    let first = before_all.recv();
    assert!(matches!(first, Err(RecvError::Overrun { .. })), "{first:?}");
    assert_eq!(start(Start::Newest).recv().unwrap().sequence, 40);
    let oldest = start(Start::Oldest).recv().unwrap().sequence;
    assert!((25..=29).contains(&oldest), "{oldest}");
    assert_eq!(start(Start::At(38)).recv().unwrap().sequence, 38);
    let mut next = start(Start::Next);
    let mut later = start(Start::At(42));
    assert!(next.try_recv().unwrap().is_none());
    for sequence in 41..=42 {
        sender.send(&content(sequence, 8)).unwrap();
    }
    assert_eq!(next.recv().unwrap().sequence, 41);
    assert_eq!(later.recv().unwrap().sequence, 42);
    let mut gone = start(Start::At(3));
    let Err(RecvError::Overrun { lost, .. }) = gone.recv() else {
        panic!("3 is gone")
    };
    assert_eq!(gone.recv().unwrap().sequence, 3 + lost);
}

#[test]
fn a_broadcast_ends_after_its_last_record_and_a_death_is_told_apart() {
    let place = Place::new();
    let mut first = sender(&place).open("b").unwrap();
    let mut receiver = receiver(&place).start(Start::Oldest).attach("b").unwrap();
    first.send(b"one").unwrap();
    first.abandon();
    assert_eq!(&receiver.recv().unwrap()[..], b"one");
    let died = receiver.recv();
    assert!(matches!(died, Err(RecvError::OwnerDied { .. })), "{died:?}");
    let mut second = sender(&place).open("b").unwrap();
    assert_eq!(second.send_kind(5, b"two").unwrap(), 2);
    second.close().unwrap();
    let value = receiver.recv().unwrap();
    assert_eq!((&value[..], value.kind), (&b"two"[..], 5));
    assert!(matches!(receiver.recv(), Err(RecvError::Closed { .. })));
    drop(receiver);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn patterns_are_told_apart_and_options_are_checked() {
    let place = Place::new();
    let _writer = writer(&place).open("s").unwrap();
    let wrong = receiver(&place).attach("s");
    assert!(
        matches!(&wrong, Err(OpenError::WrongPattern { expected: "broadcast", found, .. }) if found == "snapshot"),
        "{wrong:?}"
    );
    let wrong = sender(&place).open("s");
    assert!(
        matches!(wrong, Err(OpenError::AlreadyOwned { .. })),
        "{wrong:?}"
    );
    for options in [
        writer(&place).value_size(0),
        writer(&place).value_size(u32::MAX),
        writer(&place).slots(0),
        writer(&place).slots(1),
        writer(&place).slots(u64::MAX),
        writer(&place).value_size(1 << 30).slots(1 << 20),
        writer(&place).seats(0),
        writer(&place).seats(65),
    ] {
        let refused = options.open("t");
        assert!(
            matches!(refused, Err(OpenError::InvalidOption { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(place.files(), ["s"]);
}
