//! The ring's promises, through the public API. Processes and kills are in other files.

mod common;

use std::thread;
use std::time::Duration;

use common::system;

use partywall::ring::{
    Alone, Consumer, ConsumerOptions, Delivery, Overflow, Producer, ProducerOptions, Sent,
};
use partywall::{
    Namespace, OpenError, RecvError, SendError, StopToken, WaitStrategy, inspect, manage,
};

/// A namespace of the test's own, gone when it ends.
struct Place {
    namespace: Namespace,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = system::directory();
        Place {
            namespace: Namespace::open(directory.path()).unwrap(),
            _directory: directory,
        }
    }

    fn producer(&self) -> ProducerOptions {
        ProducerOptions::new()
            .namespace(self.namespace.clone())
            .capacity(4096)
    }

    fn consumer(&self) -> ConsumerOptions {
        ConsumerOptions::new().namespace(self.namespace.clone())
    }

    fn files(&self) -> Vec<String> {
        system::names(self.namespace.path())
    }
}

/// The payload of a numbered record: length and bytes follow from the number.
fn payload(number: u64) -> Vec<u8> {
    let len = (number * 37 % 500) as usize;
    (0..len).map(|at| (number as usize + at) as u8).collect()
}

#[test]
fn records_arrive_whole_and_in_order_through_many_laps() {
    for wait in [
        WaitStrategy::Spin,
        WaitStrategy::SpinThenPark,
        WaitStrategy::Park,
    ] {
        let place = Place::new();
        let mut producer = place.producer().wait(wait).open("c").unwrap();
        let mut consumers: Vec<Consumer> = (0..3)
            .map(|_| place.consumer().wait(wait).attach("c").unwrap())
            .collect();
        thread::scope(|scope| {
            for consumer in &mut consumers {
                scope.spawn(move || {
                    for number in 0..3000 {
                        let record = consumer.recv().unwrap();
                        assert_eq!(record.payload, payload(number), "record {number}");
                        assert_eq!(record.kind, number as u16);
                    }
                    assert!(matches!(consumer.recv(), Err(RecvError::Closed { .. })));
                });
            }
            scope.spawn(move || {
                for number in 0..3000 {
                    let sent = producer.send_kind(number as u16, &payload(number)).unwrap();
                    assert_eq!(sent, Sent::Committed);
                }
            });
        });
        drop(consumers);
        assert_eq!(place.files(), Vec::<String>::new(), "nothing is left");
    }
}

#[test]
fn batches_reservations_and_aborts_agree_with_plain_sends() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    let (mut sent, mut received) = (0, 0);
    while sent < 2000 {
        let mut batch = producer.batch();
        for _ in 0..3 {
            batch.push_kind(7, &payload(sent)).unwrap();
            sent += 1;
        }
        batch.commit();
        // A discarded batch and an aborted reservation leave nothing.
        producer.batch().push(b"never seen").unwrap();
        producer.reserve(100).unwrap().write_at(0, b"nor this");
        // Longer than needed, committed shorter.
        let bytes = payload(sent);
        let mut reservation = producer.reserve(bytes.len() + 300).unwrap();
        reservation.write_at(0, &vec![0xff; bytes.len() + 300]);
        reservation.write_at(0, &bytes);
        reservation.set_kind(7);
        reservation.commit_len(bytes.len());
        sent += 1;
        while received < sent {
            let record = consumer.try_recv().unwrap().unwrap();
            assert_eq!(record.payload, payload(received), "record {received}");
            assert_eq!(record.kind, 7);
            received += 1;
        }
        assert_eq!(consumer.try_recv().unwrap(), None);
    }
}

#[test]
fn a_full_ring_fails_times_out_or_drops_as_the_producer_chose() {
    let place = Place::new();
    let mut producer = place.producer().overflow(Overflow::Fail).open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    let mut sent = 0_u64;
    let error = loop {
        match producer.send(&sent.to_le_bytes()) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::Full { .. }), "{error}");
    // Sixteen bytes each, less the one header that must stay free.
    assert_eq!(sent, 255);
    assert!(matches!(
        producer.send_timeout(b"x", Duration::from_millis(1)),
        Err(SendError::TimedOut { .. })
    ));
    for number in 0..sent {
        assert_eq!(consumer.recv().unwrap().payload, number.to_le_bytes());
    }
    drop(consumer);
    drop(producer);

    let mut producer = place
        .producer()
        .overflow(Overflow::DropNewest)
        .open("d")
        .unwrap();
    let _consumer = place.consumer().attach("d").unwrap();
    let outcomes: Vec<Sent> = (0..300).map(|_| producer.send(&[0; 8]).unwrap()).collect();
    let dropped = outcomes
        .iter()
        .filter(|&&sent| sent == Sent::Dropped)
        .count();
    assert_eq!(dropped, 300 - 255);
    let info = inspect::inspect(&place.namespace, "d").unwrap();
    assert_eq!(info.counters.dropped as usize, dropped);
    assert_eq!(info.seats[0].depth_records, 255);
}

#[test]
fn a_record_over_half_the_ring_is_refused_and_one_of_half_is_not() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    let max = producer.max_record();
    assert_eq!(max, 2040);
    let refused = producer.send(&vec![1; max + 1]).unwrap_err();
    assert!(
        matches!(
            refused,
            SendError::TooLarge {
                len: 2041,
                max: 2040,
                ..
            }
        ),
        "{refused}"
    );
    // From every starting position, so that the padding takes every length.
    for step in 0..300 {
        producer.send(&vec![2; step % 96]).unwrap();
        assert_eq!(consumer.try_recv().unwrap().unwrap().len(), step % 96);
        assert_eq!(consumer.try_recv().unwrap(), None);
        producer.send(&vec![3; max]).unwrap();
        let record = consumer.try_recv().unwrap().unwrap();
        assert_eq!(record.payload, vec![3; max]);
        assert_eq!(consumer.try_recv().unwrap(), None);
    }
}

#[test]
fn without_a_consumer_sends_wait_or_discard_as_the_producer_chose() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    assert!(matches!(
        producer.try_send(b"x"),
        Err(SendError::Full { .. })
    ));
    let mut consumer = place.consumer().attach("c").unwrap();
    producer.try_send(b"x").unwrap();
    assert_eq!(&consumer.recv().unwrap()[..], b"x");

    let mut producer = place.producer().alone(Alone::Discard).open("d").unwrap();
    for number in 0..1000_u64 {
        producer.send(&number.to_le_bytes()).unwrap();
    }
    let mut late = place.consumer().attach("d").unwrap();
    producer.send(b"now").unwrap();
    assert_eq!(&late.recv().unwrap()[..], b"now");
    let info = inspect::inspect(&place.namespace, "d").unwrap();
    assert_eq!(info.records, 1001);
    assert!(info.counters.discarded >= 1000);
}

#[test]
fn a_clean_close_and_a_death_are_told_apart() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    producer.send(b"last words").unwrap();
    producer.abandon();
    assert_eq!(&consumer.recv().unwrap()[..], b"last words");
    assert!(matches!(consumer.recv(), Err(RecvError::OwnerDied { .. })));

    let mut successor = place.producer().open("c").unwrap();
    assert!(successor.adopted());
    assert_eq!((successor.owner_epoch(), successor.records()), (2, 1));
    successor.send(b"here again").unwrap();
    successor.close().unwrap();
    assert_eq!(&consumer.recv().unwrap()[..], b"here again");
    assert!(matches!(consumer.recv(), Err(RecvError::Closed { .. })));
    assert!(matches!(consumer.recv(), Err(RecvError::Closed { .. })));
}

#[test]
fn a_panicking_producer_looks_dead_and_not_closed() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    let result = thread::spawn(move || {
        producer.send(b"before").unwrap();
        std::panic::resume_unwind(Box::new("as a bug would"));
    })
    .join();
    assert!(result.is_err());
    assert_eq!(&consumer.recv().unwrap()[..], b"before");
    assert!(matches!(consumer.recv(), Err(RecvError::OwnerDied { .. })));
}

#[test]
fn a_durable_consumer_resumes_where_it_stood_through_closes_and_new_streams() {
    let place = Place::new();
    let archive = || place.consumer().durable("archive");
    let mut producer = place.producer().open("c").unwrap();
    let consumer = archive().attach("c").unwrap();
    assert!(!consumer.resumed());
    drop(consumer);
    for number in 0..10_u64 {
        producer.send(&number.to_le_bytes()).unwrap();
    }
    let mut consumer = archive().attach("c").unwrap();
    assert!(consumer.resumed());
    assert!(matches!(
        archive().attach("c"),
        Err(OpenError::ConsumerInUse { .. })
    ));
    for number in 0..4_u64 {
        assert_eq!(consumer.recv().unwrap().payload, number.to_le_bytes());
    }
    drop(consumer);
    producer.close().unwrap();
    // Two more streams begin and end while it is away.
    for stream in 2..4_u64 {
        let mut producer = place.producer().open("c").unwrap();
        assert_eq!(producer.generation(), stream);
        assert!(producer.consumers() >= 1);
        producer.send(&(100 * stream).to_le_bytes()).unwrap();
        producer.close().unwrap();
    }
    let mut consumer = archive().attach("c").unwrap();
    for number in 4..10_u64 {
        assert_eq!(consumer.recv().unwrap().payload, number.to_le_bytes());
    }
    assert!(matches!(consumer.recv(), Err(RecvError::Closed { .. })));
    drop(consumer);
    for stream in 2..4_u64 {
        let mut consumer = archive().attach("c").unwrap();
        assert!(consumer.resumed());
        assert_eq!(consumer.generation(), stream);
        assert_eq!(
            consumer.recv().unwrap().payload,
            (100 * stream).to_le_bytes()
        );
        assert!(matches!(consumer.recv(), Err(RecvError::Closed { .. })));
    }
    assert_eq!(place.files(), ["c"], "the archive may come back");
    manage::forget(&place.namespace, "c", "archive").unwrap();
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn durable_consumers_get_again_what_they_did_not_finish_and_at_most_once_ones_do_not() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    for delivery in [Delivery::AtLeastOnce, Delivery::AtMostOnce] {
        let name = format!("{delivery:?}");
        let attach = || {
            place
                .consumer()
                .durable(&name)
                .delivery(delivery)
                .attach("c")
                .unwrap()
        };
        let mut consumer = attach();
        for number in 0..4_u64 {
            producer.send(&number.to_le_bytes()).unwrap();
        }
        let dies = thread::spawn(move || {
            for _ in 0..3 {
                consumer.recv().unwrap();
            }
            std::panic::resume_unwind(Box::new("while it processes the third"));
        });
        assert!(dies.join().is_err());
        let mut consumer = attach();
        let expected = match delivery {
            // Published lazily: when it goes idle, which it never did.
            Delivery::AtLeastOnce => 0_u64,
            Delivery::AtMostOnce => 3,
        };
        let first = consumer.recv().unwrap();
        assert_eq!(first.payload, expected.to_le_bytes(), "{name}");
        while consumer.try_recv().unwrap().is_some() {}
    }
}

#[test]
fn borrowing_in_place_gives_the_bytes_and_passes_them_when_dropped() {
    #![allow(unsafe_code)]
    let place = Place::new();
    let producer = place.producer().open("c").unwrap();
    let consumer = place.consumer().attach("c").unwrap();
    // SAFETY: both sides are in this test, which writes only by their handles.
    let (mut producer, mut consumer) = unsafe { (producer.in_place(), consumer.in_place()) };
    for number in 0..500 {
        let bytes = payload(number);
        let mut room = producer.reserve_mut(bytes.len()).unwrap();
        room.copy_from_slice(&bytes);
        room.commit_kind(3);
        let record = consumer.recv_ref(None).unwrap();
        assert_eq!((&record[..], record.kind()), (&bytes[..], 3));
        drop(record);
        assert_eq!(consumer.try_recv().unwrap(), None);
    }
}

#[test]
fn seats_run_out_and_come_back() {
    let place = Place::new();
    let _producer = place.producer().seats(2).open("c").unwrap();
    let first = place.consumer().attach("c").unwrap();
    let _second = place.consumer().attach("c").unwrap();
    let refused = place.consumer().attach("c").unwrap_err();
    assert!(
        matches!(refused, OpenError::NoFreeSeat { seats: 2, .. }),
        "{refused}"
    );
    drop(first);
    place.consumer().attach("c").unwrap();
}

#[test]
fn a_second_producer_is_refused_and_says_whose_it_is() {
    let place = Place::new();
    let _producer = place.producer().open("c").unwrap();
    let refused = place.producer().open("c").unwrap_err();
    assert!(
        matches!(refused, OpenError::AlreadyOwned { pid, .. } if pid == std::process::id()),
        "{refused}"
    );
}

#[test]
fn waits_end_at_their_time_and_at_a_stop() {
    let place = Place::new();
    let token = StopToken::new();
    let _producer: Producer = place.producer().open("c").unwrap();
    let mut consumer = place
        .consumer()
        .stop_token(token.clone())
        .attach("c")
        .unwrap();
    assert!(matches!(
        consumer.recv_timeout(Duration::from_millis(5)),
        Err(RecvError::TimedOut { .. })
    ));
    let waiting = thread::spawn(move || consumer.recv());
    token.stop();
    assert!(matches!(
        waiting.join().unwrap(),
        Err(RecvError::Stopped { .. })
    ));
    let missing = place
        .consumer()
        .attach_timeout(Some(Duration::ZERO))
        .attach("nobody");
    assert!(matches!(missing, Err(OpenError::Missing { .. })));
}

#[test]
fn flush_tells_what_was_taken_from_what_was_not() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    producer.send(&[0; 8]).unwrap();
    producer.send(&[0; 8]).unwrap();
    assert!(matches!(
        producer.flush(Some(Duration::from_millis(1))),
        Err(SendError::TimedOut { .. })
    ));
    consumer.recv().unwrap();
    consumer.recv().unwrap();
    consumer.acknowledge();
    producer.flush(None).unwrap();
    producer.send(&[0; 8]).unwrap();
    drop(consumer);
    assert!(matches!(
        producer.flush(None),
        Err(SendError::NoConsumer {
            unread_bytes: 16,
            ..
        })
    ));
}
