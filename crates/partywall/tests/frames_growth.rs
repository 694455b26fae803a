//! Frames whose pool grows, or whose records change, while traffic runs.

mod common;

use std::thread;
use std::time::Duration;

use common::Place;
use partywall::frames::{Frame, Publisher, PublisherOptions, Subscriber, SubscriberOptions};
use partywall::record::{Record, Schema};
use partywall::{GrowError, OpenError, RecvError, SendError};

const LONG: Duration = Duration::from_secs(20);
/// Frames that each subscriber may hold.
const HELD: usize = 3;

fn publisher(place: &Place) -> PublisherOptions {
    PublisherOptions::new()
        .namespace(place.namespace.clone())
        .frame_size(256)
        .seats(3)
        .held(HELD as u32)
        .heartbeat(false)
        .block_timeout(Some(LONG))
}

fn subscriber(place: &Place) -> SubscriberOptions {
    SubscriberOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

/// The bytes of a frame, as many as the pool of its generation has room for.
fn content(sequence: u64, room: usize) -> Vec<u8> {
    let len = room - sequence as usize % 200;
    (0..len)
        .map(|at| (sequence as usize * 31 + at) as u8)
        .collect()
}

fn publish(publisher: &Publisher) -> u64 {
    let sequence = publisher.sequence() + 1;
    let bytes = content(sequence, publisher.max_frame());
    let mut loan = publisher.loan(bytes.len()).unwrap();
    loan.write_at(0, &bytes);
    loan.set_user((publisher.max_frame() as u128).to_le_bytes());
    assert_eq!(loan.publish().unwrap(), sequence);
    sequence
}

fn check(frame: &Frame) {
    let room = u128::from_le_bytes(frame.about().user) as usize;
    assert_eq!(frame.to_vec(), content(frame.sequence(), room));
}

fn receive(subscriber: &mut Subscriber) -> Frame {
    let frame = subscriber.recv_timeout(LONG).unwrap();
    check(&frame);
    frame
}

/// Generations that have files.
fn generations(place: &Place, channel: &str) -> Vec<u64> {
    let mut found: Vec<u64> = std::fs::read_dir(place.namespace.path().join(channel))
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".owner")
                .map(|number| number.parse().unwrap())
        })
        .collect();
    found.sort_unstable();
    found
}

/// Publishes to nobody in particular until the publisher has looked at what is needed still.
fn publish_until(publisher: &Publisher, mut done: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !done() {
        assert!(started.elapsed() < LONG, "it never comes to that");
        publish(publisher);
    }
}

#[test]
fn frames_in_hand_keep_their_generation_and_nobody_waiting() {
    let place = Place::new();
    let mut publisher = publisher(&place).open("f").unwrap();
    let mut reader = subscriber(&place).lossy(true).attach("f").unwrap();
    publish(&publisher);
    publish(&publisher);
    let first = receive(&mut reader);
    publisher.grow(0, 1000).unwrap();
    assert_eq!((publisher.max_frame(), publisher.generation()), (1000, 2));
    publish(&publisher);
    assert_eq!(receive(&mut reader).sequence(), 2);
    let third = receive(&mut reader);
    assert_eq!((third.sequence(), reader.generation()), (3, 2));
    assert_eq!((reader.max_frame(), reader.held()), (1000, 1));
    publisher.grow(40, 0).unwrap();
    assert_eq!((publisher.slots(), publisher.max_frame()), (40, 1000));
    assert!(reader.try_recv().unwrap().is_none(), "it has come over");
    assert_eq!(reader.generation(), 3);
    for _ in 0..200 {
        publish(&publisher);
        reader.skip_to_newest().unwrap();
        drop(receive(&mut reader));
        check(&first);
        check(&third);
    }
    assert_eq!(generations(&place, "f"), [1, 2, 3]);
    // The second goes no sooner than the first.
    check(&third);
    drop(third);
    thread::sleep(Duration::from_millis(150));
    publish(&publisher);
    assert_eq!(generations(&place, "f"), [1, 2, 3]);
    check(&first);
    drop(first);
    publish_until(&publisher, || generations(&place, "f") == [3]);
    publisher.close().unwrap();
    while !matches!(reader.try_recv(), Err(RecvError::Closed { .. })) {}
    drop(reader);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn what_is_large_enough_stays_and_what_cannot_be_is_refused() {
    let place = Place::new();
    let mut publisher = publisher(&place).open("f").unwrap();
    publisher.grow(1, 256).unwrap();
    assert_eq!(publisher.generation(), 1);
    for (slots, frame) in [(257, 0), (0, (1 << 30) + 1)] {
        let refused = publisher.grow(slots, frame);
        assert!(matches!(
            refused,
            Err(GrowError::Open(OpenError::InvalidOption { .. }))
        ));
    }
    assert_eq!((publisher.generation(), publisher.max_frame()), (1, 256));
    publish(&publisher);
    // A loan that was forgotten is its generation's.
    std::mem::forget(publisher.loan(1).unwrap());
    assert!(matches!(
        publisher.loan(1),
        Err(SendError::TooManyLoans { .. })
    ));
    publisher.grow(0, 257).unwrap();
    publish(&publisher);
    assert_eq!(generations(&place, "f"), [2], "nobody needs the first");
}

#[test]
fn a_reliable_subscriber_that_has_not_come_over_is_waited_for() {
    let place = Place::new();
    let mut publisher = publisher(&place).open("f").unwrap();
    let mut reader = subscriber(&place).attach("f").unwrap();
    publish(&publisher);
    publisher.grow(0, 300).unwrap();
    assert_eq!(publisher.subscribers(), 1);
    for _ in 0..publisher.slots() {
        publish(&publisher);
    }
    assert!(matches!(publisher.try_loan(1), Err(SendError::Full { .. })));
    // A newcomer does not take the seat that is promised to it.
    let other = subscriber(&place).attach("f").unwrap();
    assert_eq!((other.seat(), other.generation()), (1, 2));
    drop(other);
    for sequence in 1..=publisher.sequence() {
        assert_eq!(receive(&mut reader).sequence(), sequence);
    }
    assert_eq!((reader.generation(), reader.seat()), (2, 0));
    publish(&publisher);
}

#[test]
fn a_subscriber_that_goes_before_it_has_come_over_keeps_nobody_waiting() {
    let place = Place::new();
    let mut publisher = publisher(&place).open("f").unwrap();
    let mut reader = subscriber(&place).attach("f").unwrap();
    publish(&publisher);
    publish(&publisher);
    let held = receive(&mut reader);
    publisher.grow(0, 300).unwrap();
    publish(&publisher);
    drop(reader);
    for _ in 0..2 * publisher.slots() {
        publish(&publisher);
    }
    check(&held);
    assert_eq!(generations(&place, "f"), [1, 2]);
    drop(held);
    publish_until(&publisher, || generations(&place, "f") == [2]);
}

#[test]
fn a_successor_goes_on_where_the_pool_had_grown() {
    let place = Place::new();
    let options = publisher(&place);
    let mut first = options.open("f").unwrap();
    let mut reader = subscriber(&place)
        .await_successor(true)
        .attach("f")
        .unwrap();
    publish(&first);
    first.grow(0, 5000).unwrap();
    publish(&first);
    first.abandon();
    let second = options.open("f").unwrap();
    assert_eq!((second.adopted(), second.max_frame()), (true, 5000));
    for _ in 0..second.slots() - 1 {
        publish(&second);
    }
    assert!(
        matches!(second.try_loan(1), Err(SendError::Full { .. })),
        "it knows who has not come over"
    );
    for sequence in 1..=second.sequence() {
        assert_eq!(receive(&mut reader).sequence(), sequence);
    }
    publish_until(&second, || {
        while reader.try_recv().unwrap().is_some() {}
        generations(&place, "f") == [2]
    });
}

/// A reliable and a lossy subscriber read and hold frames while the pool grows twice; a third only holds.
#[test]
fn nothing_is_lost_torn_or_repeated_while_the_pool_grows_under_load() {
    const FRAMES: u64 = 3000;
    let place = Place::new();
    let mut publisher = publisher(&place).open("f").unwrap();
    let mut holder = subscriber(&place).attach("f").unwrap();
    publish(&publisher);
    let kept = receive(&mut holder);
    holder.skip_to_newest().unwrap();
    drop(holder);
    let readers: Vec<_> = [false, true]
        .into_iter()
        .map(|lossy| {
            let mut reader = subscriber(&place).lossy(lossy).attach("f").unwrap();
            thread::spawn(move || {
                let (mut got, mut held) = (0, Vec::<Frame>::new());
                loop {
                    let next = reader.next_sequence();
                    match reader.recv_timeout(LONG) {
                        Ok(frame) => {
                            assert_eq!(frame.sequence(), next, "in order, each once");
                            got += 1;
                            held.push(frame);
                        }
                        Err(RecvError::Overrun { lost, .. }) => {
                            assert!(lossy);
                            assert_eq!(reader.next_sequence(), next + lost);
                        }
                        Err(RecvError::TooManyHeld { .. }) => {
                            check(&held.swap_remove(next as usize % held.len()));
                        }
                        Err(RecvError::Closed { .. }) => break,
                        Err(error) => panic!("{error}"),
                    }
                    // Frames of older generations are held the longest.
                    if held.len() > 3 * HELD {
                        check(&held.remove(next as usize % 2));
                    }
                }
                held.iter().for_each(check);
                assert_eq!(reader.generation(), 3);
                (got, reader.missed())
            })
        })
        .collect();
    while publisher.sequence() < FRAMES {
        match publish(&publisher) {
            1000 => publisher.grow(0, 1000).unwrap(),
            1010 => publisher.grow(64, 3000).unwrap(),
            _ => {}
        }
    }
    check(&kept);
    drop(kept);
    publish_until(&publisher, || generations(&place, "f") == [3]);
    let last = publisher.sequence();
    publisher.close().unwrap();
    let told: Vec<(u64, u64)> = readers
        .into_iter()
        .map(|reader| reader.join().unwrap())
        .collect();
    assert_eq!(told[0], (last - 1, 0), "the reliable one has all");
    assert_eq!(told[1].0 + told[1].1, last - 1, "the lossy one is told all");
    assert_eq!(place.files(), [""; 0]);
}

#[derive(Clone, Copy, Debug, PartialEq, Record)]
#[repr(C)]
struct Old {
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Record)]
#[repr(C)]
struct New {
    number: u64,
    weight: f64,
}

#[test]
fn frames_of_another_type_follow_those_of_the_old() {
    let place = Place::new();
    let mut old = publisher(&place).open_typed::<Old>("f").unwrap();
    let mut typed = subscriber(&place).attach_typed::<Old>("f").unwrap();
    let mut bytes = subscriber(&place).attach("f").unwrap();
    old.send(&Old { number: 1 }).unwrap();
    let mut new = old.reschema::<New>().unwrap();
    let value = New {
        number: 2,
        weight: 0.5,
    };
    new.send(&value).unwrap();
    assert_eq!(typed.recv_timeout(LONG).unwrap(), Old { number: 1 });
    for _ in 0..2 {
        let end = typed.recv_timeout(LONG);
        assert!(matches!(end, Err(RecvError::SchemaMismatch { .. })));
    }
    let mut again = subscriber(&place).attach_typed::<New>("f").unwrap();
    new.send(&value).unwrap();
    assert_eq!(again.recv_timeout(LONG).unwrap(), value);
    for len in [8, 16, 16] {
        assert_eq!(bytes.recv_timeout(LONG).unwrap().len(), len);
    }
    new.grow(40).unwrap();
    new.send(&value).unwrap();
    assert_eq!(again.recv_timeout(LONG).unwrap(), value);
}

/// Whoever wants frames of the old type has come to its end; what it holds of them has not.
#[test]
fn frames_in_hand_outlive_a_change_of_type() {
    let place = Place::new();
    let options = publisher(&place).schema(Schema::of::<Old>());
    // What is confidential is overwritten before it goes.
    let mut publisher = options.confidential(true).open("f").unwrap();
    let options = subscriber(&place).schema(Schema::of::<Old>());
    let mut holds = options.attach("f").unwrap();
    let mut empty_handed = options.attach("f").unwrap();
    let value = 7_u64.to_le_bytes();
    publisher.publish_copy(&value).unwrap();
    let frame = holds.recv_timeout(LONG).unwrap();
    drop(empty_handed.recv_timeout(LONG).unwrap());
    publisher.reschema(Some(Schema::of::<New>())).unwrap();
    for subscriber in [&mut empty_handed, &mut holds] {
        for _ in 0..2 {
            let end = subscriber.recv_timeout(LONG);
            assert!(matches!(end, Err(RecvError::SchemaMismatch { .. })));
        }
    }
    // Nobody waits for it, and nobody takes away what it holds.
    for number in 0..100_u64 {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.resize(16, 0);
        publisher.publish_copy(&bytes).unwrap();
    }
    // A growth looks for memory that nobody needs, too.
    publisher.reschema(None).unwrap();
    assert_eq!(generations(&place, "f"), [1, 2, 3]);
    assert_eq!(frame.to_vec(), value);
    drop(holds);
    assert_eq!(frame.to_vec(), value);
    drop(frame);
    let end = std::time::Instant::now() + LONG;
    while generations(&place, "f") != [3] {
        assert!(std::time::Instant::now() < end, "old memory stays");
        publisher.publish_copy(&[0; 16]).unwrap();
    }
    let info = partywall::inspect::inspect(&place.namespace, "f").unwrap();
    assert_eq!(info.seats.len(), 0, "{:?}", info.seats);
}
