//! Bytes that nobody honest wrote: every handle answers with an error that says so, or goes on. Nobody dies of
//! a signal or a panic, and nobody hangs.

mod common;

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, Random};
use partywall::mpsc::{ReceiverOptions, SenderOptions};
use partywall::ring::{Alone, Consumer, Producer};
use partywall::{EvictionReason, RecvError, SendError, inspect, layout, manage};

const SEGMENTS: [&str; 4] = ["root", "lock", "1.owner", "1.peers"];

fn file(place: &Place, name: &str) -> std::fs::File {
    let path: PathBuf = place.path().join("c").join(name);
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

/// Sends until it cannot any more, or until the time is over; never a panic.
fn send_on(mut producer: Producer, end: Instant) -> u64 {
    let mut sent = 0;
    while Instant::now() < end {
        match producer.send_timeout(&[7; 100], Duration::from_millis(20)) {
            Ok(_) => sent += 1,
            Err(SendError::TimedOut { .. }) => {}
            Err(SendError::Damaged { .. } | SendError::Deleted { .. }) => return sent,
            Err(other) => panic!("{other}"),
        }
    }
    sent
}

/// Receives until an error ends it, or until the time is over.
fn receive_on(mut consumer: Consumer, end: Instant) -> Option<RecvError> {
    let mut payload = Vec::new();
    while Instant::now() < end {
        match consumer.recv_into_timeout(&mut payload, Some(Duration::from_millis(20))) {
            Ok(_) | Err(RecvError::TimedOut { .. }) => {}
            Err(error) => return Some(error),
        }
    }
    None
}

#[test]
fn random_bytes_in_a_live_channel_harm_nobody() {
    let mut random = Random::from_environment();
    for round in 0..60 {
        let place = Place::new();
        let producer = place.producer().heartbeat(false).open("c").unwrap();
        let consumers = [(); 2].map(|()| place.consumer().heartbeat(false).attach("c").unwrap());
        let end = Instant::now() + Duration::from_millis(60);
        thread::scope(|scope| {
            let sending = scope.spawn(move || send_on(producer, end));
            let receiving =
                consumers.map(|consumer| scope.spawn(move || receive_on(consumer, end)));
            while Instant::now() < end {
                let name = SEGMENTS[random.below(4) as usize];
                // Half of the time where the words are that steer somebody.
                let reach = if random.below(2) == 0 { 1024 } else { 8192 };
                let len = 1 + random.below(16) as usize;
                let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                let at = random.below(reach);
                let segment = file(&place, name);
                if at + len as u64 <= segment.metadata().unwrap().len() {
                    segment.write_at(&bytes, at).unwrap();
                }
                let _ = inspect::inspect(&place.namespace, "c");
                let _ = inspect::list(&place.namespace).unwrap();
            }
            sending.join().expect("no panic in the producer");
            for consumer in receiving {
                consumer.join().expect("no panic in a consumer");
            }
        });
        // Whatever is left can be removed, and then made anew.
        if place.path().join("c").exists() {
            manage::remove(&place.namespace, "c", true).unwrap();
        }
        let mut producer = place.producer().open("c").unwrap();
        let mut consumer = place.consumer().attach("c").unwrap();
        producer.send(b"anew").unwrap();
        assert_eq!(&consumer.recv().unwrap()[..], b"anew", "round {round}");
    }
}

/// The values that a liar would choose.
fn lies(honest: u64) -> Vec<u64> {
    let mut values = vec![
        0,
        1,
        7,
        8,
        u64::MAX,
        1 << 63,
        i64::MAX as u64,
        1 << 32,
        0xffff_ffff,
    ];
    values.extend((0..64).step_by(7).map(|bit| honest ^ 1 << bit));
    values.extend([
        honest.wrapping_add(8),
        honest.wrapping_sub(8),
        honest << 16,
        honest >> 8,
    ]);
    values
}

/// Opens, attaches, sends, receives and looks; errors are fine.
fn use_everything(place: &Place) {
    let _ = inspect::inspect(&place.namespace, "c");
    if let Ok(mut consumer) = place
        .consumer()
        .heartbeat(false)
        .attach_timeout(Some(Duration::from_millis(1)))
        .attach("c")
    {
        let _ = consumer.recv_timeout(Duration::from_millis(1));
        let _ = consumer.losses();
    }
    if let Ok(mut producer) = place
        .producer()
        .heartbeat(false)
        .alone(Alone::Discard)
        .open("c")
    {
        let _ = producer.try_send(&[1; 1000]);
        let _ = producer.flush(Some(Duration::from_millis(1)));
        producer.abandon();
    }
    let _ = manage::forget(&place.namespace, "c", "d");
    let _ = manage::clean(&place.namespace);
}

#[test]
fn every_word_of_every_segment_may_lie_at_rest() {
    // A channel with a dead owner, a durable consumer and some records.
    let place = Place::new();
    let mut producer = place
        .producer()
        .seats(2)
        .heartbeat(false)
        .open("c")
        .unwrap();
    let durable = place
        .consumer()
        .heartbeat(false)
        .durable("d")
        .attach("c")
        .unwrap();
    for _ in 0..5 {
        producer.send(&[3; 50]).unwrap();
    }
    durable.detach();
    producer.abandon();
    let honest: Vec<(&str, Vec<u8>)> = ["root", "1.owner", "1.peers"]
        .map(|name| {
            (
                name,
                std::fs::read(place.path().join("c").join(name)).unwrap(),
            )
        })
        .to_vec();
    let mut tried = 0;
    for (name, bytes) in &honest {
        // Everything that steers somebody: headers, cursors, verdicts, seats, and the first records.
        let words = (0..bytes.len() / 8).filter(|word| {
            let at = word * 8;
            at < 1536 || (4096..4096 + 320).contains(&at)
        });
        for word in words {
            let at = word * 8;
            let value = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            for lie in lies(value) {
                // The channel as it was, but for this word.
                let directory = place.path().join("c");
                let _ = std::fs::create_dir(&directory);
                for (name, bytes) in &honest {
                    std::fs::write(directory.join(name), bytes).unwrap();
                }
                std::fs::write(directory.join("lock"), []).unwrap();
                file(&place, name)
                    .write_at(&lie.to_le_bytes(), at as u64)
                    .unwrap();
                let survived = catch_unwind(AssertUnwindSafe(|| use_everything(&place)));
                assert!(
                    survived.is_ok(),
                    "{name}, offset {at}: {value:#x} became {lie:#x}"
                );
                tried += 1;
                if directory.exists() {
                    let _ = manage::remove(&place.namespace, "c", true);
                    let _ = std::fs::remove_dir_all(&directory);
                }
            }
        }
    }
    assert!(tried > 5000, "{tried}");
}

/// Where a field of a seat lies in the peer side.
fn in_seat(name: &str, seat: u64) -> u64 {
    let block = layout::abi()
        .into_iter()
        .find(|block| block.title.starts_with("seat"))
        .unwrap();
    let field = block
        .fields
        .iter()
        .find(|field| field.name == name)
        .unwrap();
    512 + seat * block.size + field.offset
}

#[test]
fn a_consumer_that_lies_about_its_position_is_evicted_and_the_others_are_served() {
    for lie in [u64::MAX, 1 << 40, 1 << 63] {
        let place = Place::new();
        let mut producer = place.producer().open("c").unwrap();
        let mut liar = place.consumer().attach("c").unwrap();
        let mut honest = place.consumer().attach("c").unwrap();
        for number in 0..500_u64 {
            producer.send(&number.to_le_bytes()).unwrap();
            assert_eq!(
                honest.try_recv().unwrap().unwrap().payload,
                number.to_le_bytes()
            );
            assert!(honest.try_recv().unwrap().is_none());
            if number < 200 {
                liar.recv().unwrap();
                assert!(liar.try_recv().unwrap().is_none());
            } else if number == 200 {
                let at = in_seat("READ_SEQ", 0);
                file(&place, "1.peers")
                    .write_at(&u64::to_le_bytes(lie), at)
                    .unwrap();
            }
        }
        let info = inspect::inspect(&place.namespace, "c").unwrap();
        assert_eq!(info.counters.lies, 1, "{lie:#x}");
        // It is told, after what is still there.
        let told = loop {
            match liar.recv_timeout(Duration::from_secs(10)) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(
            matches!(
                told,
                RecvError::Evicted {
                    reason: EvictionReason::Lied,
                    ..
                } | RecvError::Damaged { .. }
            ),
            "{told}"
        );
    }
}

#[test]
fn a_producer_that_waits_notices_that_its_channel_was_removed_or_scribbled_over() {
    let place = Place::new();
    let mut producer = place.producer().open("c").unwrap();
    manage::remove(&place.namespace, "c", true).unwrap();
    let told = producer.send(b"nobody is there").unwrap_err();
    assert!(matches!(told, SendError::Deleted { .. }), "{told}");
    drop(producer);

    let mut producer = place.producer().open("c").unwrap();
    file(&place, "1.owner").write_at(&[9], 12).unwrap();
    let told = producer.send(b"nobody is there").unwrap_err();
    assert!(matches!(told, SendError::Damaged { .. }), "{told}");
}

#[test]
fn a_seat_that_is_scribbled_over_is_noticed_by_its_holder() {
    let place = Place::new();
    let _producer = place.producer().open("c").unwrap();
    let mut consumer = place.consumer().attach("c").unwrap();
    let at = in_seat("STATE", 0);
    file(&place, "1.peers")
        .write_at(&0_u64.to_le_bytes(), at)
        .unwrap();
    let told = consumer.recv_timeout(Duration::from_secs(10)).unwrap_err();
    assert!(matches!(told, RecvError::Damaged { .. }), "{told}");
}

fn lanes(place: &Place) -> ReceiverOptions {
    ReceiverOptions::new()
        .namespace(place.namespace.clone())
        .lane_capacity(4096)
        .seats(2)
        .heartbeat(false)
}

fn lane_sender(place: &Place) -> SenderOptions {
    SenderOptions::new()
        .namespace(place.namespace.clone())
        .attach_timeout(Some(Duration::from_millis(1)))
        .heartbeat(false)
}

/// Where a reader or writer of an mpsc channel looks: headers, cursors, states, seats, notices, the beginning of each lane.
const LANE_WORDS: [std::ops::Range<u64>; 5] = [
    0..1024,
    4096..4096 + 256,
    512..512 + 1032,
    65536..65536 + 4096,
    2 * 65536..2 * 65536 + 4096,
];

#[test]
fn random_bytes_in_a_live_mpsc_channel_harm_nobody() {
    let mut random = Random::from_environment();
    for round in 0..60 {
        let place = Place::new();
        let mut receiver = lanes(&place).open("c").unwrap();
        let senders = [(); 2].map(|()| lane_sender(&place).attach("c").unwrap());
        let end = Instant::now() + Duration::from_millis(60);
        thread::scope(|scope| {
            let sending = senders.map(|mut sender| {
                scope.spawn(move || {
                    let mut batched = 0_u64;
                    while Instant::now() < end {
                        let told = sender.send_timeout(&[7; 100], Duration::from_millis(20));
                        batched += 1;
                        match told {
                            Ok(_) | Err(SendError::TimedOut { .. }) => {}
                            Err(
                                SendError::Damaged { .. }
                                | SendError::Deleted { .. }
                                | SendError::Evicted { .. }
                                | SendError::Closed { .. },
                            ) => break,
                            Err(other) => panic!("{other}"),
                        }
                    }
                    batched
                })
            });
            let receiving = scope.spawn(move || {
                let mut payload = Vec::new();
                while Instant::now() < end {
                    let wait = Some(Duration::from_millis(20));
                    match receiver.recv_into_timeout(&mut payload, wait) {
                        Ok(_) | Err(RecvError::TimedOut { .. }) => {}
                        Err(RecvError::Damaged { .. } | RecvError::Deleted { .. }) => break,
                        Err(other) => panic!("{other}"),
                    }
                }
            });
            while Instant::now() < end {
                let name = SEGMENTS[random.below(4) as usize];
                let words = &LANE_WORDS[random.below(5) as usize];
                let at = words.start + random.below(words.end - words.start);
                let len = 1 + random.below(16) as usize;
                let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                let segment = file(&place, name);
                if at + len as u64 <= segment.metadata().unwrap().len() {
                    segment.write_at(&bytes, at).unwrap();
                }
                let _ = inspect::inspect(&place.namespace, "c");
                let _ = inspect::list(&place.namespace).unwrap();
            }
            for sender in sending {
                assert!(sender.join().expect("no panic in a sender") > 0);
            }
            receiving.join().expect("no panic in the receiver");
        });
        if place.path().join("c").exists() {
            manage::remove(&place.namespace, "c", true).unwrap();
        }
        let mut receiver = lanes(&place).open("c").unwrap();
        let mut sender = lane_sender(&place).attach("c").unwrap();
        sender.send(b"anew").unwrap();
        assert_eq!(
            &receiver.recv_record().unwrap()[..],
            b"anew",
            "round {round}"
        );
    }
}

/// Opens, attaches, sends, receives and looks; errors are fine.
fn use_every_lane(place: &Place) {
    let _ = inspect::inspect(&place.namespace, "c");
    if let Ok(mut sender) = lane_sender(place).attach("c") {
        let _ = sender.try_send(&[1; 1000]);
        let _ = sender.flush(Some(Duration::ZERO));
    }
    if let Ok(mut receiver) = lanes(place).open("c") {
        for _ in 0..40 {
            if !matches!(receiver.try_recv(), Ok(Some(_))) {
                break;
            }
        }
        let _ = receiver.recv_timeout(Duration::ZERO);
        let _ = receiver.lane(0);
        receiver.abandon();
    }
    let _ = manage::clean(&place.namespace);
}

#[test]
fn every_word_of_an_mpsc_channel_may_lie_at_rest() {
    // A channel with a dead receiver, a sender that left, and one that sent through the end of its lane.
    let place = Place::new();
    let mut receiver = lanes(&place).open("c").unwrap();
    let mut left = lane_sender(&place).attach("c").unwrap();
    let mut around = lane_sender(&place).attach("c").unwrap();
    left.send(&[3; 50]).unwrap();
    left.close().unwrap();
    for number in 0..50 {
        around.send(&[number; 100]).unwrap();
        while receiver.try_recv().unwrap().is_some() {}
    }
    around.send(&[3; 50]).unwrap();
    receiver.abandon();
    drop(around);
    let directory = place.path().join("c");
    let honest: Vec<(&str, Vec<u8>)> = ["root", "1.owner", "1.peers"]
        .map(|name| (name, std::fs::read(directory.join(name)).unwrap()))
        .to_vec();
    let mut tried = 0;
    for (name, bytes) in &honest {
        let steering = |at: u64| {
            at < 600
                || *name == "1.owner" && (4096..4096 + 256).contains(&at)
                || *name == "1.peers"
                    && ((512..512 + 1032).contains(&at)
                        || (65536..65536 + 80).contains(&at)
                        || (2 * 65536..2 * 65536 + 1500).contains(&at))
        };
        for at in (0..bytes.len())
            .step_by(8)
            .filter(|&at| steering(at as u64))
        {
            let value = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            for lie in lies(value) {
                // The channel as it was, but for this word.
                let _ = std::fs::create_dir(&directory);
                for (name, bytes) in &honest {
                    std::fs::write(directory.join(name), bytes).unwrap();
                }
                std::fs::write(directory.join("lock"), []).unwrap();
                file(&place, name)
                    .write_at(&lie.to_le_bytes(), at as u64)
                    .unwrap();
                let survived = catch_unwind(AssertUnwindSafe(|| use_every_lane(&place)));
                assert!(
                    survived.is_ok(),
                    "{name}, offset {at}: {value:#x} became {lie:#x}"
                );
                tried += 1;
                if directory.exists() {
                    let _ = manage::remove(&place.namespace, "c", true);
                    let _ = std::fs::remove_dir_all(&directory);
                }
            }
        }
    }
    assert!(tried > 5000, "{tried}");
}
