//! Counters near their end: those that may wrap do so without anybody noticing, those that may not end in an error that
//! says so. The words of a fresh channel are forged, as `PROTOCOL.md` lays them out, to what they would be after ages.

mod common;

use std::fs;

use common::system::At;
use common::{Place, file};
use partywall::ring::Alone;
use partywall::{
    GrowError, OpenError, RecvError, SendError, broadcast, frames, guarded, inspect, manage, mpsc,
    snapshot,
};

// Of the segment header, the owner side, the seats, the root.
const GENERATION: u64 = 32;
const BASE_SEQ: u64 = 88;
const BASE_RECORDS: u64 = 96;
const OWNER_EPOCH: u64 = 136;
const WRITE_SEQ: u64 = 256;
const WRITE_RECORDS_0: u64 = 264;
const SEATS: u64 = 512;
const SEAT: u64 = 512;
const LANES: u64 = 4096;
const LANE_READ_RECORDS_0: u64 = 8;
const CURRENT: u64 = 256;
const OLDEST: u64 = 264;

const LAST_VERSION: u64 = 1 << 62;

fn forge(place: &Place, name: &str, words: &[(u64, u64)]) {
    let file = file(place, name);
    for &(at, value) in words {
        file.write_all_at(&value.to_le_bytes(), at).unwrap();
    }
}

/// The next holder of each seat is the last before its epoch wraps, or the one after.
fn forge_epochs(place: &Place, seats: u64, epoch: u64) {
    for seat in 0..seats {
        forge(place, "1.peers", &[(SEATS + seat * SEAT, epoch << 16)]);
    }
}

#[test]
fn positions_counts_and_epochs_of_a_ring_wrap() {
    for epoch in [(1 << 48) - 3, (1 << 48) - 2, (1 << 48) - 1] {
        let place = Place::new();
        let options = place
            .producer()
            .seats(2)
            .heartbeat(false)
            .alone(Alone::Discard);
        options.open("c").unwrap().abandon();
        // The ring goes round once more before the end.
        let (base, records) = (0_u64.wrapping_sub(6000 & !7), u64::MAX - 20);
        let words = [
            (BASE_SEQ, base),
            (BASE_RECORDS, records),
            (OWNER_EPOCH, u64::MAX),
            (WRITE_SEQ, base),
            (WRITE_RECORDS_0, records),
        ];
        forge(&place, "1.owner", &words);
        forge_epochs(&place, 2, epoch);
        let durable = || {
            place
                .consumer()
                .heartbeat(false)
                .durable("d")
                .attach("c")
                .unwrap()
        };
        let mut number = 0_u32;
        let mut received = 0_u32;
        for _ in 0..8 {
            // Each producer adopts what the one before has left, each consumer goes on where the one before was.
            let mut producer = options.open("c").unwrap();
            assert!(producer.adopted());
            let mut consumer = durable();
            let mut passing = place.consumer().heartbeat(false).attach("c").unwrap();
            for _ in 0..9 {
                producer
                    .send(&[&number.to_le_bytes()[..], &[0; 100]].concat())
                    .unwrap();
                number += 1;
            }
            for _ in 0..9 {
                assert_eq!(consumer.recv().unwrap()[..4], received.to_le_bytes());
                received += 1;
            }
            assert_eq!(passing.recv().unwrap()[..4], (number - 9).to_le_bytes());
            drop((passing, consumer));
            producer.abandon();
        }
        let info = inspect::inspect(&place.namespace, "c").unwrap();
        assert_eq!(info.problem, None);
        assert_eq!(info.owner_epoch, 7);
        assert!(info.write_seq < 4096 && info.records == 72 - 21, "{info:?}");
        let seat = &info.seats[0];
        assert!(
            seat.epoch < 20 && (seat.lost, seat.depth_records) == (0, 0),
            "{seat:?}"
        );
    }
}

#[test]
fn positions_counts_and_epochs_of_a_lane_wrap() {
    for epoch in [(1 << 48) - 3, (1 << 48) - 2, (1 << 48) - 1] {
        let place = Place::new();
        let options = mpsc::ReceiverOptions::new().namespace(place.namespace.clone());
        let options = options.lane_capacity(4096).seats(1).heartbeat(false);
        options.open("c").unwrap().abandon();
        let (base, records) = (0_u64.wrapping_sub(6000 & !7), u64::MAX - 20);
        let words = [(LANES, base), (LANES + LANE_READ_RECORDS_0, records)];
        forge(&place, "1.owner", &words);
        forge_epochs(&place, 1, epoch);
        for _ in 0..8 {
            let mut receiver = options.open("c").unwrap();
            let sender = mpsc::SenderOptions::new().namespace(place.namespace.clone());
            let mut sender = sender.heartbeat(false).attach("c").unwrap();
            for number in 0..9_u32 {
                sender
                    .send(&[&number.to_le_bytes()[..], &[0; 100]].concat())
                    .unwrap();
                let record = loop {
                    if let Some(record) = receiver.recv().unwrap().record() {
                        break record;
                    }
                };
                assert_eq!(record[..4], number.to_le_bytes());
            }
            sender.close().unwrap();
            while receiver.try_recv().unwrap().is_some() {}
            receiver.abandon();
        }
        let info = inspect::inspect(&place.namespace, "c").unwrap();
        assert_eq!(info.problem, None);
        let mut state = [0; 8];
        file(&place, "1.peers")
            .read_exact_at(&mut state, SEATS)
            .unwrap();
        assert!(u64::from_le_bytes(state) >> 16 < 20);
    }
}

/// What a fresh channel with slots has after so many versions.
fn forge_version(place: &Place, version: u64) {
    let words = [
        (BASE_SEQ, version),
        (BASE_RECORDS, version),
        (WRITE_SEQ, version),
    ];
    forge(place, "1.owner", &words);
}

/// The last version can be written and read, and the one after it is refused.
#[test]
fn no_version_of_a_snapshot_follows_the_last() {
    let place = Place::new();
    let options = snapshot::WriterOptions::new().namespace(place.namespace.clone());
    let options = options
        .value_size(64)
        .keep_when_closed(true)
        .heartbeat(false);
    options.open("c").unwrap().abandon();
    forge_version(&place, LAST_VERSION - 10);
    let mut writer = options.open("c").unwrap();
    let reader = snapshot::ReaderOptions::new().namespace(place.namespace.clone());
    let mut reader = reader.heartbeat(false).attach("c").unwrap();
    for number in 1..=10_u64 {
        assert_eq!(
            writer.put(&number.to_le_bytes()).unwrap(),
            LAST_VERSION - 10 + number
        );
        assert_eq!(reader.get().unwrap().unwrap()[..], number.to_le_bytes());
    }
    let refused = writer.put(b"one more").unwrap_err();
    assert!(matches!(refused, SendError::Damaged { .. }), "{refused}");
    assert_eq!(reader.get().unwrap().unwrap()[..], 10_u64.to_le_bytes());
    // The latest value goes over into a larger generation, where nothing follows it either.
    writer.grow(1 << 10, 0).unwrap();
    assert!(matches!(
        writer.put(b"one more"),
        Err(SendError::Damaged { .. })
    ));
    assert_eq!(reader.get().unwrap().unwrap()[..], 10_u64.to_le_bytes());
    writer.abandon();
    assert!(matches!(
        options.open("c").unwrap().put(b"x"),
        Err(SendError::Damaged { .. })
    ));
}

#[test]
fn no_version_of_a_broadcast_follows_the_last() {
    let place = Place::new();
    let options = broadcast::SenderOptions::new().namespace(place.namespace.clone());
    let options = options.value_size(64).slots(4).heartbeat(false);
    options.open("c").unwrap().abandon();
    forge_version(&place, LAST_VERSION - 10);
    let mut sender = options.open("c").unwrap();
    let receiver = broadcast::ReceiverOptions::new().namespace(place.namespace.clone());
    let mut receiver = receiver.heartbeat(false).attach("c").unwrap();
    for number in 1..=10_u64 {
        sender.send(&number.to_le_bytes()).unwrap();
        assert_eq!(receiver.recv().unwrap()[..], number.to_le_bytes());
    }
    let refused = sender.send(b"one more").unwrap_err();
    assert!(matches!(refused, SendError::Damaged { .. }), "{refused}");
    assert!(receiver.try_recv().unwrap().is_none());
    sender.grow(1 << 10, 0).unwrap();
    assert!(matches!(
        sender.send(b"one more"),
        Err(SendError::Damaged { .. })
    ));
    sender.close().unwrap();
    let end = receiver.recv().unwrap_err();
    let fine = matches!(end, RecvError::Closed { .. } | RecvError::Deleted { .. });
    assert!(fine, "{end}");
}

#[test]
fn no_version_of_a_guarded_record_follows_the_last() {
    let place = Place::new();
    let options = guarded::RecordOptions::new().namespace(place.namespace.clone());
    let options = options.value_size(64).heartbeat(false);
    drop(options.open("c").unwrap());
    forge_version(&place, LAST_VERSION - 3);
    let mut record = options.open("c").unwrap();
    for number in 1..=3_u64 {
        let mut guard = record.lock().unwrap().consistent();
        *guard.value_mut() = number.to_le_bytes().to_vec();
        assert_eq!(guard.commit().unwrap(), LAST_VERSION - 3 + number);
    }
    let mut guard = record.lock().unwrap().consistent();
    let refused = guard.commit().unwrap_err();
    assert!(matches!(refused, SendError::Damaged { .. }), "{refused}");
    drop(guard);
    assert_eq!(record.get().unwrap().unwrap()[..], 3_u64.to_le_bytes());
}

/// Within a generation they go on; there is none that would begin so late.
#[test]
fn frames_end_with_a_generation_that_nobody_could_open() {
    let place = Place::new();
    let options = frames::PublisherOptions::new().namespace(place.namespace.clone());
    let options = options.frame_size(64).seats(2).heartbeat(false);
    options.open("c").unwrap().abandon();
    let base = (1 << 61) - 4;
    let words = [(BASE_SEQ, base), (BASE_RECORDS, base), (WRITE_SEQ, base)];
    forge(&place, "1.owner", &words);
    let mut publisher = options.open("c").unwrap();
    let subscriber = frames::SubscriberOptions::new().namespace(place.namespace.clone());
    let mut subscriber = subscriber.heartbeat(false).attach("c").unwrap();
    for number in 0..3_u64 {
        publisher.publish_copy(&number.to_le_bytes()).unwrap();
        assert_eq!(subscriber.recv().unwrap().to_vec(), number.to_le_bytes());
    }
    // It begins one before: still there.
    publisher.grow(0, 1 << 10).unwrap();
    for number in 0..20_u64 {
        publisher.publish_copy(&number.to_le_bytes()).unwrap();
        assert_eq!(subscriber.recv().unwrap().to_vec(), number.to_le_bytes());
    }
    let refused = publisher.grow(0, 1 << 12).unwrap_err();
    assert!(
        matches!(refused, GrowError::Open(OpenError::Damaged { .. })),
        "{refused}"
    );
    publisher.publish_copy(b"goes on").unwrap();
    assert_eq!(subscriber.recv().unwrap().to_vec(), b"goes on");
    publisher.close().unwrap();
    let refused = options.open("c").unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    // The last who leaves removes it.
    drop(subscriber);
    options.open("c").unwrap();
}

#[test]
fn no_generation_follows_the_last() {
    const LAST: u64 = (1 << 55) - 1;
    let place = Place::new();
    let options = place.producer().heartbeat(false).alone(Alone::Discard);
    options.open("c").unwrap().abandon();
    let number = LAST - 1;
    for side in ["owner", "peers"] {
        forge(&place, &format!("1.{side}"), &[(GENERATION, number)]);
        let name = |number| place.path().join("c").join(format!("{number}.{side}"));
        fs::rename(name(1), name(number)).unwrap();
    }
    forge(&place, "root", &[(CURRENT, number), (OLDEST, number)]);
    let mut producer = options.open("c").unwrap();
    let mut consumer = place
        .consumer()
        .heartbeat(false)
        .durable("d")
        .attach("c")
        .unwrap();
    producer.send(b"one").unwrap();
    producer.grow(1 << 13).unwrap();
    producer.send(b"two").unwrap();
    for record in ["one", "two"] {
        assert_eq!(consumer.recv().unwrap()[..], *record.as_bytes());
    }
    let refused = producer.grow(1 << 14).unwrap_err();
    assert!(
        matches!(refused, GrowError::Open(OpenError::Damaged { .. })),
        "{refused}"
    );
    producer.send(b"three").unwrap();
    assert_eq!(consumer.recv().unwrap()[..], *b"three");
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(info.generation, LAST);
    drop((producer, consumer));
    // A producer that comes back after a close would need another.
    let refused = options.open("c").unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    manage::remove(&place.namespace, "c", true).unwrap();
    options.open("c").unwrap();
}
