//! What who stands in an older generation is told of a channel that has ended meanwhile, and what stays counted of it.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::{Place, system};
use partywall::broadcast::{Receiver, ReceiverOptions, Sender, SenderOptions, Start};
use partywall::mpsc;
use partywall::record::{Record, Schema};
use partywall::ring;
use partywall::snapshot::{ReaderOptions, Writer, WriterOptions};
use partywall::{Namespace, RecvError, inspect, manage};

const LONG: Duration = Duration::from_secs(20);

fn sender(place: &Place) -> Sender {
    let options = SenderOptions::new().namespace(place.namespace.clone());
    options.slots(16).value_size(8).open("b").unwrap()
}

fn receiver(place: &Place) -> Receiver {
    let options = ReceiverOptions::new().namespace(place.namespace.clone());
    options.start(Start::At(1)).attach("b").unwrap()
}

fn send(sender: &mut Sender, records: u64) {
    for _ in 0..records {
        sender.send(&[1; 8]).unwrap();
    }
}

/// Reads until the stream ends: how many records it got, and how many it was told that it lost.
fn read(receiver: &mut Receiver) -> (u64, u64, RecvError) {
    let (mut got, mut lost) = (0, 0);
    loop {
        match receiver.recv_timeout(LONG) {
            Ok(value) => {
                got += 1;
                assert_eq!(value.sequence, got + lost);
            }
            Err(RecvError::Overrun { lost: more, .. }) => lost += more,
            Err(error) => return (got, lost, error),
        }
    }
}

#[test]
fn a_receiver_of_an_older_generation_is_told_of_the_close_and_not_of_the_removal() {
    let place = Place::new();
    let mut sender = sender(&place);
    let mut receiver = receiver(&place);
    send(&mut sender, 3);
    sender.grow(0, 32).unwrap();
    send(&mut sender, 4);
    // Nobody sits there: with its end it goes.
    sender.close().unwrap();
    assert!(!place.namespace.path().join("b").exists());
    let (got, lost, end) = read(&mut receiver);
    assert_eq!((got, lost, receiver.lost()), (3, 4, 4));
    assert!(matches!(end, RecvError::Closed { .. }), "{end}");
    let again = receiver.try_recv().unwrap_err();
    assert!(matches!(again, RecvError::Closed { .. }), "{again}");
}

#[test]
fn a_removal_by_force_is_still_told_as_one() {
    let place = Place::new();
    let mut sender = sender(&place);
    let mut receiver = receiver(&place);
    send(&mut sender, 1);
    sender.grow(0, 32).unwrap();
    manage::remove(&place.namespace, "b", true).unwrap();
    let (got, lost, end) = read(&mut receiver);
    assert_eq!((got, lost), (1, 0));
    assert!(matches!(end, RecvError::Deleted { .. }), "{end}");
}

#[test]
fn a_receiver_does_not_go_from_one_stream_into_the_next() {
    let place = Place::new();
    // Somebody's seat keeps the channel when it is closed.
    let mut first = sender(&place);
    let mut late = receiver(&place);
    let mut later = receiver(&place);
    let mut there = receiver(&place);
    send(&mut first, 2);
    assert_eq!(there.recv_timeout(LONG).unwrap().sequence, 1);
    assert_eq!(there.recv_timeout(LONG).unwrap().sequence, 2);
    first.grow(0, 32).unwrap();
    let slept = there.recv_timeout(Duration::from_millis(30)).unwrap_err();
    assert!(matches!(slept, RecvError::TimedOut { .. }), "{slept}");
    send(&mut first, 5);
    first.close().unwrap();
    let mut second = sender(&place);
    assert_eq!((second.sequence(), second.generation()), (7, 3));
    send(&mut second, 100);
    let (got, lost, end) = read(&mut late);
    assert_eq!((got, lost), (2, 5));
    assert!(matches!(end, RecvError::Closed { .. }), "{end}");
    // That one has ended too, by now.
    second.close().unwrap();
    let (got, lost, end) = read(&mut later);
    assert_eq!((got, lost), (2, 5));
    assert!(matches!(end, RecvError::Closed { .. }), "{end}");
}

#[test]
fn a_snapshots_reader_of_an_older_generation_is_told_of_the_close_or_follows() {
    let place = Place::new();
    let open = || -> Writer {
        let options = WriterOptions::new().namespace(place.namespace.clone());
        options
            .keep_when_closed(true)
            .value_size(8)
            .open("s")
            .unwrap()
    };
    let attach = |follow| {
        let options = ReaderOptions::new().namespace(place.namespace.clone());
        options.follow(follow).attach("s").unwrap()
    };
    let mut writer = open();
    writer.put(b"one").unwrap();
    let (mut ends, mut waits) = (attach(false), attach(false));
    let (mut follows, mut follows_waiting) = (attach(true), attach(true));
    writer.grow(64, 0).unwrap();
    writer.put(b"two").unwrap();
    writer.close().unwrap();
    let mut writer = open();
    writer.put(b"three").unwrap();
    let error = ends.get().unwrap_err();
    assert!(matches!(error, RecvError::Closed { .. }), "{error}");
    let error = waits.changed_timeout(LONG).unwrap_err();
    assert!(matches!(error, RecvError::Closed { .. }), "{error}");
    assert_eq!(follows.get().unwrap().unwrap()[..], *b"three");
    assert_eq!(
        follows_waiting.changed_timeout(LONG).unwrap()[..],
        *b"three"
    );
}

#[test]
fn what_senders_refused_stays_counted_when_nobody_takes_their_seats_again() {
    let place = Place::new();
    let open = || {
        let options = mpsc::ReceiverOptions::new().namespace(place.namespace.clone());
        options.lane_capacity(4096).open("m").unwrap()
    };
    let mut receiver = open();
    let attach = || {
        let options = mpsc::SenderOptions::new().namespace(place.namespace.clone());
        let options = options.overflow(mpsc::Overflow::DropNewest);
        options.attach("m").unwrap()
    };
    let refuse = |sender: &mut mpsc::Sender, times: u64| {
        let mut refused = 0;
        while refused < times {
            refused += u64::from(sender.send(&[0; 500]).unwrap() == mpsc::Sent::Dropped);
        }
    };
    let outside = || {
        let info = inspect::inspect(&place.namespace, "m").unwrap();
        info.counters.dropped
    };
    let (mut leaves, mut stays) = (attach(), attach());
    let (left, stayed) = (leaves.id().seat, stays.id().seat);
    refuse(&mut leaves, 3);
    refuse(&mut stays, 5);
    assert_eq!(outside(), 8);
    leaves.close().unwrap();
    let dropped = |receiver: &mpsc::Receiver, seat| receiver.lane(seat).unwrap().dropped;
    for (capacity, more) in [(1 << 13, 2), (1 << 14, 4)] {
        let before = outside();
        receiver.grow(capacity).unwrap();
        assert_eq!(outside(), before, "not while lanes are left in both");
        assert_eq!(dropped(&receiver, left), 3);
        refuse(&mut stays, more);
        assert_eq!(outside(), before + more);
        assert_eq!(dropped(&receiver, stayed), before - 3 + more);
        while receiver.try_recv().unwrap().is_some() {}
        assert_eq!(outside(), before + more, "nor when they were left");
        assert_eq!(dropped(&receiver, left), 3);
        assert_eq!(dropped(&receiver, stayed), before - 3 + more);
    }
    // A successor knows it too, and whoever sits there next goes on counting.
    receiver.abandon();
    let mut receiver = open();
    let mut heir = attach();
    assert_eq!((heir.id().seat, receiver.generation()), (left, 3));
    refuse(&mut heir, 1);
    assert_eq!((dropped(&receiver, left), outside()), (4, 15));
    while receiver.try_recv().unwrap().is_some() {}
}

#[derive(Record, Clone, Copy, Debug)]
#[repr(C)]
struct Metre {
    length: f64,
}

#[derive(Record, Clone, Copy, Debug)]
#[repr(C)]
struct Feet {
    length: u64,
}

#[test]
fn who_follows_to_the_next_writer_is_told_that_its_values_are_others() {
    let place = Place::new();
    let open = |schema| {
        let options = WriterOptions::new().namespace(place.namespace.clone());
        options
            .keep_when_closed(true)
            .schema(schema)
            .open("s")
            .unwrap()
    };
    let writer = open(Schema::of::<Metre>());
    let options = ReaderOptions::new().namespace(place.namespace.clone());
    let options = options.follow(true).schema(Schema::of::<Metre>());
    let mut reader = options.attach("s").unwrap();
    writer.close().unwrap();
    let _next = open(Schema::of::<Feet>());
    let error = reader.changed_timeout(LONG).unwrap_err();
    let is_named = matches!(error, RecvError::SchemaMismatch { .. });
    assert!(is_named, "{error}");
}

#[test]
fn what_was_refused_stays_counted_where_an_owner_replaces_a_generation_that_nobody_uses() {
    let place = Place::new();
    let open = |capacity| {
        let options = ring::ProducerOptions::new().namespace(place.namespace.clone());
        let options = options.overflow(ring::Overflow::DropNewest);
        options.capacity(capacity).open("r").unwrap()
    };
    let dropped = || {
        let info = inspect::inspect(&place.namespace, "r").unwrap();
        (info.generation, info.counters.dropped)
    };
    let mut producer = open(4096);
    let options = ring::ConsumerOptions::new().namespace(place.namespace.clone());
    let consumer = options.attach("r").unwrap();
    while producer.send(&[0; 1000]).unwrap() == ring::Sent::Committed {}
    assert_eq!(dropped(), (1, 1));
    drop(consumer);
    producer.abandon();
    let _producer = open(8192);
    assert_eq!(dropped(), (2, 1));
}

/// What a seat has lost, for whatever reason.
fn lost(consumer: &ring::Consumer) -> u64 {
    let losses = consumer.losses();
    losses.abandoned + losses.evicted + losses.detached + losses.former
}

/// Sends until the memory of older generations is gone.
fn send_until_alone(place: &Place, producer: &mut ring::Producer) {
    let began = Instant::now();
    while inspect::inspect(&place.namespace, "r")
        .unwrap()
        .oldest_generation
        < producer.generation()
    {
        assert!(began.elapsed() < LONG, "somebody is waited for");
        let _ = producer.send(&[0; 500]).unwrap();
    }
}

#[test]
fn what_was_left_unread_stays_counted_when_nobody_comes_over_to_the_seat() {
    let place = Place::new();
    let options = ring::ProducerOptions::new().namespace(place.namespace.clone());
    let options = options.overflow(ring::Overflow::DropNewest);
    let mut producer = options.capacity(4096).open("r").unwrap();
    let attach = || {
        let options = ring::ConsumerOptions::new().namespace(place.namespace.clone());
        options.attach("r").unwrap()
    };
    let (leaves, dies, mut follows) = (attach(), attach(), attach());
    assert_eq!((leaves.seat(), dies.seat(), follows.seat()), (0, 1, 2));
    for _ in 0..4 {
        producer.send(&[0; 8]).unwrap();
    }
    drop(leaves);
    producer.grow(8192).unwrap();
    for _ in 0..3 {
        producer.send(&[0; 8]).unwrap();
    }
    // Its thread panics in the old generation: what it leaves lies in both.
    let died = catch_unwind(AssertUnwindSafe(move || {
        let _dies = dies;
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(died.is_err());
    while follows.try_recv().unwrap().is_some() {}
    send_until_alone(&place, &mut producer);
    let (one, other) = (attach(), attach());
    assert_eq!((one.seat(), other.seat()), (0, 1));
    assert_eq!(lost(&one), 4);
    let left = lost(&other);
    assert!((7..=producer.records()).contains(&left), "{left}");
    assert_eq!(lost(&follows), 0);
    // Once more: what comes over keeps its account, and so does what goes.
    producer.send(&[0; 8]).unwrap();
    drop(one);
    producer.grow(16384).unwrap();
    drop(other);
    while follows.try_recv().unwrap().is_some() {}
    send_until_alone(&place, &mut producer);
    let (one, other) = (attach(), attach());
    assert_eq!((one.seat(), lost(&one)), (0, 5));
    assert_eq!((other.seat(), lost(&other)), (1, left + 1));
    assert_eq!(lost(&follows), 0);
}

/// Set for the consumer that is killed: where its channel is.
const PLACE: &str = "PARTYWALL_GROWTH_ENDED_PLACE";

/// Not a test of its own: a consumer that takes its seat, reads nothing, and is killed.
#[test]
fn the_one_that_is_killed() {
    let Some(place) = std::env::var_os(PLACE) else {
        return;
    };
    let namespace = Namespace::open(std::path::Path::new(&place)).unwrap();
    let options = ring::ConsumerOptions::new().namespace(namespace);
    let _sits = options.attach("r").unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn what_was_killed_left_in_several_generations_of_a_stream_that_has_ended_is_counted() {
    let place = Place::new();
    let options = ring::ProducerOptions::new().namespace(place.namespace.clone());
    let options = options.overflow(ring::Overflow::DropNewest);
    let mut producer = options.clone().capacity(4096).open("r").unwrap();
    let mut dies = system::this_program()
        .args(["--exact", "the_one_that_is_killed"])
        .env(PLACE, place.path())
        .spawn()
        .unwrap();
    producer.wait_for_consumer(Some(LONG)).unwrap();
    for _ in 0..4 {
        producer.send(&[0; 8]).unwrap();
    }
    producer.grow(8192).unwrap();
    for _ in 0..3 {
        producer.send(&[0; 8]).unwrap();
    }
    producer.close().unwrap();
    let mut next = options.capacity(8192).open("r").unwrap();
    assert_eq!((next.generation(), next.records()), (3, 7));
    system::kill(&dies);
    dies.wait().unwrap();
    send_until_alone(&place, &mut next);
    let other = place.consumer().attach("r").unwrap();
    assert_eq!((other.seat(), lost(&other)), (0, 7));
}
