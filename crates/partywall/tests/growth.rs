//! Channels that grow, or change what their records are made of, while traffic runs.

mod common;

use std::thread;
use std::time::Duration;

use common::Place;
use partywall::broadcast::{ReceiverOptions, SenderOptions, Start};
use partywall::record::{Record, Schema};
use partywall::ring::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use partywall::snapshot::{ReaderOptions, WriterOptions};
use partywall::{GrowError, OpenError, RecvError, SendError, WaitStrategy, inspect, manage};

const LONG: Duration = Duration::from_secs(20);

fn producer(place: &Place) -> ProducerOptions {
    ProducerOptions::new()
        .namespace(place.namespace.clone())
        .capacity(4096)
        .heartbeat(false)
        .block_timeout(Some(LONG))
}

fn consumer(place: &Place) -> ConsumerOptions {
    ConsumerOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
        .attach_timeout(Some(LONG))
}

fn send(producer: &mut Producer) {
    let number = producer.records();
    let len = 8 + number as usize % 100;
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(len, number as u8);
    producer.send(&bytes).unwrap();
}

fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes.len(), 8 + number as usize % 100);
    assert!(bytes[8..].iter().all(|&byte| byte == number as u8));
    number
}

fn receive(consumer: &mut Consumer) -> u64 {
    number(&consumer.recv_timeout(LONG).unwrap())
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

#[test]
fn a_consumer_comes_over_and_misses_nothing() {
    let place = Place::new();
    let mut producer = producer(&place).open("c").unwrap();
    let mut reader = consumer(&place).attach("c").unwrap();
    for _ in 0..10 {
        send(&mut producer);
    }
    producer.grow(10_000).unwrap();
    assert_eq!((producer.generation(), producer.capacity()), (2, 16384));
    for _ in 0..10 {
        send(&mut producer);
    }
    assert_eq!(generations(&place, "c"), [1, 2]);
    for expected in 0..20 {
        assert_eq!(receive(&mut reader), expected);
    }
    assert_eq!(reader.generation(), 2);
    assert!(reader.try_recv().unwrap().is_none());
    producer.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [2]);
    // It is as large already.
    producer.grow(16384).unwrap();
    assert_eq!(producer.generation(), 2);
    producer.close().unwrap();
    assert!(matches!(reader.recv(), Err(RecvError::Closed { .. })));
    drop(reader);
    assert_eq!(place.files(), [""; 0]);
}

/// Everybody reads while the producer sends and grows, all at full speed.
fn grows_under_load(consumers: usize, durable: bool, wait: WaitStrategy) {
    const EACH: u64 = 20_000;
    let place = Place::new();
    let mut producer = producer(&place).wait(wait).open("c").unwrap();
    let readers: Vec<_> = (0..consumers)
        .map(|index| {
            let mut options = consumer(&place).wait(wait);
            if durable {
                options = options.durable(&index.to_string());
            }
            let mut reader = options.attach("c").unwrap();
            thread::spawn(move || {
                let mut expected = 0;
                loop {
                    match reader.recv_timeout(LONG) {
                        Ok(record) => assert_eq!(number(&record), expected),
                        Err(RecvError::Closed { .. }) => return (expected, reader.generation()),
                        Err(error) => panic!("{error}"),
                    }
                    expected += 1;
                }
            })
        })
        .collect();
    for capacity in [4096, 8192, 16384, 32768] {
        producer.grow(capacity).unwrap();
        for _ in 0..EACH {
            send(&mut producer);
        }
    }
    assert_eq!(producer.generation(), 4);
    producer.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [4]);
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert!(
        info.seats
            .iter()
            .all(|seat| seat.received <= 4 * EACH && seat.attached == 1)
    );
    assert_eq!(info.counters.evictions, 0);
    producer.close().unwrap();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), (4 * EACH, 4));
    }
    if !durable {
        assert_eq!(place.files(), Vec::<String>::new());
    }
}

#[test]
fn it_grows_under_load_with_one_consumer() {
    grows_under_load(1, false, WaitStrategy::SpinThenPark);
    grows_under_load(1, true, WaitStrategy::Park);
}

#[test]
fn it_grows_under_load_with_three_consumers() {
    grows_under_load(3, false, WaitStrategy::Park);
    grows_under_load(3, true, WaitStrategy::SpinThenPark);
}

#[test]
fn a_durable_consumer_that_was_away_through_three_generations_misses_nothing() {
    let place = Place::new();
    let mut producer = producer(&place).open("c").unwrap();
    consumer(&place).durable("d").attach("c").unwrap().detach();
    for capacity in [8192, 16384, 32768] {
        for _ in 0..10 {
            send(&mut producer);
        }
        producer.grow(capacity).unwrap();
    }
    send(&mut producer);
    // Each of them holds what it has not read.
    assert_eq!(generations(&place, "c"), [1, 2, 3, 4]);
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!((info.oldest_generation, info.generation), (1, 4));
    let older: Vec<_> = info
        .older
        .iter()
        .map(|of| (of.generation, of.state))
        .collect();
    assert_eq!(older, [(1, "retired"), (2, "retired"), (3, "retired")]);
    assert_eq!(info.seats.len(), 1);
    let away = &info.seats[0];
    assert_eq!(
        (away.generation, away.state, away.depth_records),
        (1, "absent", 31)
    );
    // A newcomer does not take its index.
    let newcomer = consumer(&place).attach("c").unwrap();
    assert_eq!(newcomer.seat(), 1);
    drop(newcomer);
    let mut durable = consumer(&place).durable("d").attach("c").unwrap();
    assert!(durable.resumed());
    for expected in 0..31 {
        assert_eq!(receive(&mut durable), expected);
    }
    assert_eq!(durable.generation(), 4);
    assert!(durable.try_recv().unwrap().is_none());
    producer.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [4]);
    durable.detach();
    manage::forget(&place.namespace, "c", "d").unwrap();
}

#[test]
fn who_has_not_come_over_holds_the_producer_back_once_the_new_ring_is_full() {
    let place = Place::new();
    let mut producer = producer(&place).seats(2).open("c").unwrap();
    let mut slow = consumer(&place).attach("c").unwrap();
    send(&mut producer);
    producer.grow(8192).unwrap();
    let mut fast = consumer(&place).attach("c").unwrap();
    let full = consumer(&place)
        .attach_timeout(Some(Duration::ZERO))
        .attach("c");
    assert!(
        matches!(full, Err(OpenError::NoFreeSeat { .. })),
        "{full:?}"
    );
    let mut sent = 1;
    while producer.try_send(&[1; 1000]).is_ok() {
        assert_eq!(fast.recv_timeout(LONG).unwrap().len(), 1000);
        assert!(fast.try_recv().unwrap().is_none());
        sent += 1;
    }
    assert_eq!(sent, 1 + 8192 / 1008);
    assert_eq!(receive(&mut slow), 0);
    for _ in 1..sent {
        assert_eq!(slow.recv_timeout(LONG).unwrap().len(), 1000);
    }
    assert!(slow.try_recv().unwrap().is_none());
    producer.try_send(&[1; 1000]).unwrap();
    // One that leaves from an old generation leaves nothing behind.
    producer.grow(16384).unwrap();
    drop(slow);
    drop(fast);
    producer.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [3]);
}

#[test]
fn a_stream_that_is_closed_after_it_grew_is_read_to_its_end() {
    let place = Place::new();
    let mut producer = producer(&place).open("c").unwrap();
    let mut reader = consumer(&place).attach("c").unwrap();
    let leaves = consumer(&place).attach("c").unwrap();
    send(&mut producer);
    producer.grow(8192).unwrap();
    send(&mut producer);
    producer.grow(16384).unwrap();
    send(&mut producer);
    producer.close().unwrap();
    drop(leaves);
    for expected in 0..3 {
        assert_eq!(receive(&mut reader), expected);
    }
    assert!(matches!(reader.recv(), Err(RecvError::Closed { .. })));
    drop(reader);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn the_last_to_leave_a_closed_channel_from_an_older_generation_turns_out_the_light() {
    let place = Place::new();
    let mut producer = producer(&place).open("c").unwrap();
    let reader = consumer(&place).attach("c").unwrap();
    send(&mut producer);
    producer.grow(8192).unwrap();
    producer.close().unwrap();
    assert_eq!(generations(&place, "c"), [1, 2]);
    drop(reader);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_successor_waits_for_those_who_have_not_come_over() {
    let place = Place::new();
    let mut first = producer(&place).open("c").unwrap();
    let mut reader = consumer(&place).await_successor(true).attach("c").unwrap();
    send(&mut first);
    first.grow(8192).unwrap();
    send(&mut first);
    first.abandon();
    let mut second = producer(&place).open("c").unwrap();
    assert!(second.adopted());
    assert_eq!(
        (second.generation(), second.owner_epoch(), second.records()),
        (2, 2, 2)
    );
    let mut sent = 2;
    while second.try_send(&[1; 1000]).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 2 + 8192 / 1008);
    second.grow(16384).unwrap();
    assert_eq!(generations(&place, "c"), [1, 2, 3]);
    for expected in 0..2 {
        assert_eq!(receive(&mut reader), expected);
    }
    for _ in 2..sent {
        assert_eq!(reader.recv_timeout(LONG).unwrap().len(), 1000);
    }
    assert!(reader.try_recv().unwrap().is_none());
    second.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [3]);
}

#[test]
fn what_cannot_grow_stays_as_it_is() {
    let place = Place::new();
    let mut producer = producer(&place).open("c").unwrap();
    let mut reader = consumer(&place).attach("c").unwrap();
    for (capacity, no_space) in [(0, false), (1 << 50, false), (1 << 40, true)] {
        let refused = producer.grow(capacity).unwrap_err();
        let expected = match &refused {
            GrowError::Open(OpenError::NoSpace { .. }) => no_space,
            GrowError::Open(OpenError::InvalidOption { .. }) => !no_space,
            // Wine makes a file of any length, and then cannot map it.
            GrowError::Open(OpenError::System { .. }) => no_space && cfg!(windows),
            _ => false,
        };
        assert!(expected, "{refused}");
    }
    assert_eq!(producer.generation(), 1);
    send(&mut producer);
    assert_eq!(receive(&mut reader), 0);
    assert_eq!(generations(&place, "c"), [1]);
    manage::remove(&place.namespace, "c", true).unwrap();
    let refused = producer.grow(8192).unwrap_err();
    assert!(
        matches!(refused, GrowError::Owner(SendError::Deleted { .. })),
        "{refused}"
    );
}

/// Somebody removes the lock file by hand, and a second producer opens the channel: the first one wakes up replaced.
#[cfg(unix)] // elsewhere a file keeps its name while somebody has it open
#[test]
fn a_predecessor_that_was_replaced_gets_superseded_and_ends_nothing() {
    let place = Place::new();
    for grows in [false, true] {
        let mut first = producer(&place).open("c").unwrap();
        let reader = consumer(&place).attach("c").unwrap();
        send(&mut first);
        std::fs::remove_file(place.path().join("c/lock")).unwrap();
        let mut second = producer(&place).open("c").unwrap();
        assert!(second.adopted());
        if grows {
            second.grow(8192).unwrap();
        }
        let refused = first.grow(1 << 20).unwrap_err();
        assert!(
            matches!(refused, GrowError::Owner(SendError::Superseded { .. })),
            "{refused}"
        );
        // Who looks for room is told.
        let refused = loop {
            if let Err(refused) = first.send_timeout(&[9; 2000], LONG) {
                break refused;
            }
        };
        assert!(matches!(refused, SendError::Superseded { .. }), "{refused}");
        drop(first);
        // The second one's channel is as it was.
        assert_eq!(
            inspect::inspect(&place.namespace, "c").unwrap().state,
            "ready"
        );
        manage::remove(&place.namespace, "c", true).unwrap();
        drop((second, reader));
    }
}

#[derive(Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[record(name = "Quote")]
struct Quote {
    bid: u32,
    ask: u32,
}

#[derive(Record, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
#[record(name = "Quote")]
struct Wider {
    bid: u32,
    ask: [u32; 2],
}

const OLD: Quote = Quote { bid: 1, ask: 2 };
const NEW: Wider = Wider {
    bid: 3,
    ask: [4, 5],
};

/// The error of a handle that is for the old records: it names the field.
fn names_the_field(error: &RecvError) {
    match error {
        RecvError::SchemaMismatch { difference, .. } => {
            assert!(difference.path.contains("ask"), "{difference}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_ring_whose_records_change_says_so_to_those_who_want_the_old_ones() {
    let place = Place::new();
    let mut producer = producer(&place).open_typed::<Quote>("c").unwrap();
    let mut typed = consumer(&place).attach_typed::<Quote>("c").unwrap();
    let durable = consumer(&place).durable("d");
    let mut away = durable.attach_typed::<Quote>("c").unwrap();
    let mut bytes = consumer(&place).attach("c").unwrap();
    producer.send(&OLD).unwrap();
    let mut producer = producer.reschema::<Wider>().unwrap();
    producer.send(&NEW).unwrap();
    // First all that was of its kind.
    assert_eq!(typed.recv().unwrap(), OLD);
    assert_eq!(away.recv().unwrap(), OLD);
    for _ in 0..2 {
        names_the_field(&typed.recv().unwrap_err());
        names_the_field(&away.try_recv().unwrap_err());
    }
    assert_eq!(bytes.recv().unwrap().len(), 8);
    assert_eq!(bytes.recv().unwrap().len(), 12);
    assert_eq!(bytes.schema().unwrap(), Some(Schema::of::<Wider>()));
    assert!(bytes.try_recv().unwrap().is_none());
    // The durable one's seat waits for somebody who wants the new ones, the other's is free.
    assert_eq!(generations(&place, "c"), [1, 2]);
    drop((typed, away));
    let refused = durable.attach_typed::<Quote>("c").unwrap_err();
    assert!(
        matches!(refused, OpenError::SchemaMismatch { .. }),
        "{refused}"
    );
    let mut back = durable.attach("c").unwrap();
    assert!(back.resumed());
    assert_eq!(back.recv().unwrap().len(), 12);
    let mut newcomer = consumer(&place).attach_typed::<Wider>("c").unwrap();
    producer.send(&NEW).unwrap();
    assert_eq!(newcomer.recv().unwrap(), NEW);
    assert!(newcomer.try_recv().unwrap().is_none());
    while bytes.try_recv().unwrap().is_some() {}
    while back.try_recv().unwrap().is_some() {}
    producer.flush(Some(LONG)).unwrap();
    assert_eq!(generations(&place, "c"), [2]);
    // A type that has no room leaves the handle as it was.
    back.detach();
    manage::forget(&place.namespace, "c", "d").unwrap();
    manage::remove(&place.namespace, "c", true).unwrap();
    let unchanged = producer.reschema::<Quote>().unwrap_err();
    assert!(
        matches!(
            unchanged.error(),
            GrowError::Owner(SendError::Deleted { .. })
        ),
        "{unchanged}"
    );
    assert_eq!(unchanged.into_handle().generation(), 2);
}

#[test]
fn a_snapshot_grows_and_its_readers_come_over() {
    let place = Place::new();
    let options = WriterOptions::new()
        .namespace(place.namespace.clone())
        .value_size(16)
        // Whoever has not slept has no seat, and would not keep it.
        .keep_when_closed(true)
        .heartbeat(false);
    let mut writer = options.open("s").unwrap();
    let reader = || {
        ReaderOptions::new()
            .namespace(place.namespace.clone())
            .heartbeat(false)
    };
    let mut early = reader().attach("s").unwrap();
    writer.grow(24, 0).unwrap();
    assert_eq!(early.get().unwrap(), None);
    writer.put_kind(7, b"one").unwrap();
    let mut polls = reader().attach("s").unwrap();
    let mut seen = reader().attach("s").unwrap();
    assert_eq!(seen.get().unwrap().unwrap().sequence, 1);
    let waits = reader().wait(WaitStrategy::Park).attach("s").unwrap();
    let waiting = thread::spawn(move || {
        let mut waits = waits;
        let first = waits.changed_timeout(LONG).unwrap();
        let second = waits.changed_timeout(LONG).unwrap();
        (
            (first.sequence, second.sequence),
            second.len(),
            waits.generation(),
        )
    });
    // It sleeps in a seat of the old generation.
    while inspect::inspect(&place.namespace, "s")
        .unwrap()
        .seats
        .is_empty()
    {
        thread::yield_now();
    }
    writer.grow(1000, 0).unwrap();
    assert_eq!(
        (writer.generation(), writer.max_value(), writer.sequence()),
        (3, 1000, 1)
    );
    // The value is there under its own number, and is no news.
    let value = polls.get().unwrap().unwrap();
    assert_eq!(
        (&value[..], value.kind, value.sequence),
        (&b"one"[..], 7, 1)
    );
    let news = seen.changed_timeout(Duration::from_millis(1));
    assert!(matches!(news, Err(RecvError::TimedOut { .. })), "{news:?}");
    assert_eq!(
        (seen.generation(), polls.generation(), seen.sequence()),
        (3, 3, 1)
    );
    assert_eq!(writer.put(&[2; 1000]).unwrap(), 2);
    assert_eq!(waiting.join().unwrap(), ((1, 2), 1000, 3));
    assert_eq!(seen.changed_timeout(LONG).unwrap().sequence, 2);
    assert_eq!(early.get().unwrap().unwrap().len(), 1000);
    // What grows and is closed before a reader looks is seen to its end.
    writer.grow(2000, 0).unwrap();
    let keep = reader().wait(WaitStrategy::Park).attach("s").unwrap();
    drop(keep);
    writer.put(b"last").unwrap();
    writer.abandon();
    let mut writer = options.clone().value_size(2000).open("s").unwrap();
    writer.put(b"very last").unwrap();
    writer.close().unwrap();
    assert_eq!(&seen.get().unwrap().unwrap()[..], b"very last");
    assert!(matches!(seen.get(), Err(RecvError::Closed { .. })));
}

#[test]
fn news_of_a_snapshot_are_those_of_where_its_writer_is() {
    let place = Place::new();
    let options = WriterOptions::new().namespace(place.namespace.clone());
    let mut writer = options.value_size(64).open("s").unwrap();
    let options = ReaderOptions::new().namespace(place.namespace.clone());
    let mut reader = options.attach("s").unwrap();
    writer.put(b"seen").unwrap();
    assert_eq!(reader.changed_timeout(LONG).unwrap().sequence, 1);
    writer.put(b"the last one here").unwrap();
    writer.grow(1000, 0).unwrap();
    writer.put(b"the latest").unwrap();
    let news = reader.changed_timeout(LONG).unwrap();
    assert_eq!((&news[..], news.sequence), (&b"the latest"[..], 3));
}

#[test]
fn a_snapshot_whose_values_change_says_so_to_those_who_want_the_old_ones() {
    let place = Place::new();
    let mut writer = WriterOptions::new()
        .namespace(place.namespace.clone())
        .open_typed::<Quote>("s")
        .unwrap();
    let reader = || ReaderOptions::new().namespace(place.namespace.clone());
    let mut typed = reader().attach_typed::<Quote>("s").unwrap();
    let mut bytes = reader().attach("s").unwrap();
    writer.put(&OLD).unwrap();
    let mut writer = writer.reschema::<Wider>().unwrap();
    // Its own last value is still given, once.
    assert_eq!(typed.get().unwrap(), Some(OLD));
    names_the_field(&typed.get().unwrap_err());
    names_the_field(&typed.changed().unwrap_err());
    assert_eq!(
        bytes.get().unwrap(),
        None,
        "an old value is none of the new"
    );
    assert_eq!(writer.put(&NEW).unwrap(), 2);
    assert_eq!(bytes.get().unwrap().unwrap().sequence, 2);
    let mut newcomer = reader().attach_typed::<Wider>("s").unwrap();
    assert_eq!(newcomer.get().unwrap(), Some(NEW));
}

#[test]
fn a_broadcast_grows_and_every_record_is_received_or_counted() {
    let place = Place::new();
    let mut sender = SenderOptions::new()
        .namespace(place.namespace.clone())
        .slots(16)
        .value_size(8)
        .heartbeat(false)
        // Who reads without a seat does not keep a closed channel.
        .keep_when_closed(true)
        .open("b")
        .unwrap();
    let receiver = || {
        ReceiverOptions::new()
            .namespace(place.namespace.clone())
            .heartbeat(false)
            .start(Start::At(1))
    };
    let mut follows = receiver().attach("b").unwrap();
    let mut sleeps = receiver().attach("b").unwrap();
    let threads: Vec<_> = [WaitStrategy::Park, WaitStrategy::SpinThenPark]
        .into_iter()
        .map(|wait| {
            let mut receiver = receiver().wait(wait).attach("b").unwrap();
            thread::spawn(move || {
                let mut next = 1;
                loop {
                    match receiver.recv_timeout(LONG) {
                        Ok(value) => {
                            assert_eq!(value.sequence, next);
                            assert_eq!(value[..8], next.to_le_bytes());
                            next += 1;
                        }
                        Err(RecvError::Overrun { lost, .. }) => next += lost,
                        Err(RecvError::Closed { .. }) => return (next, receiver.generation()),
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        })
        .collect();
    let mut expected = 1;
    for (slots, value_size) in [(16, 16), (32, 16), (32, 100)] {
        for _ in 0..8 {
            let sequence = sender.sequence() + 1;
            sender.send(&sequence.to_le_bytes()).unwrap();
        }
        sender.grow(value_size, slots).unwrap();
        // What is left in the old generation comes first.
        for _ in 0..8 {
            assert_eq!(follows.recv_timeout(LONG).unwrap().sequence, expected);
            expected += 1;
        }
        assert!(follows.try_recv().unwrap().is_none());
        assert_eq!(follows.generation(), sender.generation());
    }
    assert_eq!(follows.lost(), 0);
    for _ in 0..1000 {
        let sequence = sender.sequence() + 1;
        sender.send(&sequence.to_le_bytes()).unwrap();
    }
    let last = sender.sequence();
    // Three generations late: the first is there, the others are gone, and how many is told exactly.
    let mut next = 1;
    loop {
        match sleeps.try_recv() {
            Ok(Some(value)) => {
                assert_eq!(value.sequence, next);
                next += 1;
            }
            Ok(None) => break,
            Err(RecvError::Overrun { lost, .. }) => next += lost,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(next, last + 1);
    assert!(sleeps.lost() > 900, "{}", sleeps.lost());
    sender.close().unwrap();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), (last + 1, 4));
    }
}

#[test]
fn who_comes_over_without_time_to_wait_finds_what_is_there() {
    let place = Place::new();
    let now = Duration::ZERO;
    let options = SenderOptions::new().namespace(place.namespace.clone());
    let mut sender = options.value_size(8).open("b").unwrap();
    let options = ReceiverOptions::new().namespace(place.namespace.clone());
    let mut receiver = options.wait(WaitStrategy::Park).attach("b").unwrap();
    sender.grow(16, 0).unwrap();
    sender.send(b"a record").unwrap();
    assert_eq!(&receiver.recv_timeout(now).unwrap()[..], b"a record");

    let options = WriterOptions::new().namespace(place.namespace.clone());
    let mut writer = options.value_size(8).open("s").unwrap();
    let options = ReaderOptions::new().namespace(place.namespace.clone());
    let mut reader = options.wait(WaitStrategy::Park).attach("s").unwrap();
    writer.grow(16, 0).unwrap();
    writer.put(b"a value").unwrap();
    assert_eq!(&reader.changed_timeout(now).unwrap()[..], b"a value");

    let mut producer = place.producer().open("r").unwrap();
    let mut consumer = place
        .consumer()
        .wait(WaitStrategy::Park)
        .attach("r")
        .unwrap();
    producer.grow(8192).unwrap();
    producer.send(b"a record").unwrap();
    assert_eq!(&consumer.recv_timeout(now).unwrap()[..], b"a record");
}

#[test]
fn a_broadcast_whose_records_change_says_so_to_those_who_want_the_old_ones() {
    let place = Place::new();
    let mut sender = SenderOptions::new()
        .namespace(place.namespace.clone())
        .open_typed::<Quote>("b")
        .unwrap();
    let receiver = || ReceiverOptions::new().namespace(place.namespace.clone());
    let mut typed = receiver().attach_typed::<Quote>("b").unwrap();
    let mut bytes = receiver().attach("b").unwrap();
    sender.send(&OLD).unwrap();
    let mut sender = sender.reschema::<Wider>().unwrap();
    sender.send(&NEW).unwrap();
    assert_eq!(typed.recv().unwrap(), OLD);
    names_the_field(&typed.recv().unwrap_err());
    names_the_field(&typed.try_recv().unwrap_err());
    assert_eq!(bytes.recv().unwrap().len(), 8);
    assert_eq!(bytes.recv().unwrap().len(), 12);
    assert_eq!(bytes.next_sequence(), 3);
}
