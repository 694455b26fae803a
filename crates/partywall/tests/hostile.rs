//! Bytes that nobody honest wrote: every handle answers with an error that says so, or goes on. Nobody dies of
//! a signal or a panic, and nobody hangs.

mod common;

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, Random, file, lies};
use partywall::broadcast::{ReceiverOptions, SenderOptions, Start};
use partywall::frames::{self, PublisherOptions, SubscriberOptions};
use partywall::guarded::RecordOptions;
use partywall::ring::{Alone, Consumer, Producer};
use partywall::snapshot::{ReaderOptions, WriterOptions};
use partywall::{EvictionReason, RecvError, SendError, inspect, layout, manage};

const SEGMENTS: [&str; 4] = ["root", "lock", "1.owner", "1.peers"];

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

fn publisher(place: &Place) -> PublisherOptions {
    PublisherOptions::new()
        .namespace(place.namespace.clone())
        .frame_size(500)
        .seats(2)
        .heartbeat(false)
}

fn subscriber(place: &Place) -> SubscriberOptions {
    SubscriberOptions::new()
        .namespace(place.namespace.clone())
        .heartbeat(false)
}

/// Publishes until it cannot any more, or until the time is over; never a panic.
fn publish_on(publisher: frames::Publisher, end: Instant) {
    while Instant::now() < end {
        match publisher.loan_timeout(100, Duration::from_millis(20)) {
            Ok(mut loan) => {
                loan.write_at(0, &[7; 100]);
                loan.publish().unwrap();
            }
            Err(SendError::TimedOut { .. }) => {}
            Err(SendError::Damaged { .. } | SendError::Deleted { .. }) => return,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Takes frames and holds some until an error ends it, or until the time is over.
fn subscribe_on(mut subscriber: frames::Subscriber, end: Instant) {
    let mut held = Vec::new();
    let mut bytes = Vec::new();
    while Instant::now() < end {
        match subscriber.recv_timeout(Duration::from_millis(20)) {
            Ok(frame) => {
                frame.copy_to(&mut bytes);
                held.push(frame);
            }
            Err(RecvError::TooManyHeld { .. }) => held.clear(),
            Err(RecvError::TimedOut { .. } | RecvError::Overrun { .. }) => {}
            Err(_) => return,
        }
        if held.len() > 64 {
            held.clear();
        }
    }
}

#[test]
fn random_bytes_in_live_frames_harm_nobody() {
    let mut random = Random::from_environment();
    for round in 0..60 {
        let place = Place::new();
        let publishing = publisher(&place).open("c").unwrap();
        let subscribers =
            [false, true].map(|lossy| subscriber(&place).lossy(lossy).attach("c").unwrap());
        let end = Instant::now() + Duration::from_millis(60);
        thread::scope(|scope| {
            let publishing = scope.spawn(move || publish_on(publishing, end));
            let subscribing =
                subscribers.map(|subscriber| scope.spawn(move || subscribe_on(subscriber, end)));
            while Instant::now() < end {
                let name = SEGMENTS[random.below(4) as usize];
                // Headers and seats; the slots' words; the descriptors.
                let begin = [0, 0, 4096, 8192][random.below(4) as usize];
                let len = 1 + random.below(16) as usize;
                let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                let at = begin + random.below(1100);
                let segment = file(&place, name);
                if at + len as u64 <= segment.metadata().unwrap().len() {
                    segment.write_at(&bytes, at).unwrap();
                }
                let _ = inspect::inspect(&place.namespace, "c");
            }
            publishing.join().expect("no panic in the publisher");
            for subscriber in subscribing {
                subscriber.join().expect("no panic in a subscriber");
            }
        });
        if place.path().join("c").exists() {
            manage::remove(&place.namespace, "c", true).unwrap();
        }
        let publishing = publisher(&place).open("c").unwrap();
        let mut subscriber = subscriber(&place).attach("c").unwrap();
        publishing.publish_copy(b"anew").unwrap();
        assert_eq!(
            subscriber.recv().unwrap().to_vec(),
            b"anew",
            "round {round}"
        );
    }
}

/// Opens, attaches, publishes, takes, holds and looks; errors are fine.
fn use_all_of_frames(place: &Place) {
    let _ = inspect::inspect(&place.namespace, "c");
    for lossy in [false, true] {
        let options = subscriber(place).history(2).lossy(lossy);
        let options = options.attach_timeout(Some(Duration::ZERO));
        if let Ok(mut subscriber) = options.attach("c") {
            let mut held = Vec::new();
            for _ in 0..4 {
                held.extend(subscriber.try_recv().ok().flatten());
            }
            let _ = subscriber.skip_to_newest();
            for frame in &held {
                assert!(frame.to_vec().len() <= subscriber.max_frame());
            }
            // The frames may go first, or last.
            if lossy {
                drop(held);
            }
        }
    }
    if let Ok(publishing) = publisher(place).open("c") {
        let _ = publishing.try_loan(100).map(|loan| loan.publish());
        let _ = publishing.try_loan(100).map(drop);
        let _ = publishing.subscribers();
        publishing.abandon();
    }
    let _ = manage::clean(&place.namespace);
}

#[test]
fn every_word_of_frames_may_lie_at_rest() {
    // A dead publisher, and a seat whose holder left with frames in hand.
    let place = Place::new();
    let publishing = publisher(&place).open("c").unwrap();
    let mut leaving = subscriber(&place).attach("c").unwrap();
    for _ in 0..4 {
        publishing.publish_copy(&[3; 50]).unwrap();
    }
    let frames = [leaving.recv().unwrap(), leaving.recv().unwrap()];
    publishing.abandon();
    drop(leaving);
    let directory = place.path().join("c");
    let honest: Vec<(&str, Vec<u8>)> = ["root", "1.owner", "1.peers"]
        .map(|name| (name, std::fs::read(directory.join(name)).unwrap()))
        .to_vec();
    drop(frames);
    let mut tried = 0;
    for (name, bytes) in &honest {
        // Headers, cursors, the first verdicts and seats; the pattern's own words, slots' words, some descriptors.
        let words = (0..bytes.len() / 8).map(|word| word * 8).filter(|&at| {
            at < 1100
                || [(3072, 16), (4096, 56), (8192, 320)]
                    .iter()
                    .any(|&(begin, len)| *name == "1.owner" && (begin..begin + len).contains(&at))
        });
        for at in words {
            let value = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            for lie in lies(value) {
                let _ = std::fs::create_dir(&directory);
                for (name, bytes) in &honest {
                    std::fs::write(directory.join(name), bytes).unwrap();
                }
                std::fs::write(directory.join("lock"), []).unwrap();
                file(&place, name)
                    .write_at(&lie.to_le_bytes(), at as u64)
                    .unwrap();
                let survived = catch_unwind(AssertUnwindSafe(|| use_all_of_frames(&place)));
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

#[test]
fn a_subscriber_that_lies_about_its_pins_is_evicted_and_the_others_are_served() {
    let place = Place::new();
    let publishing = publisher(&place).open("c").unwrap();
    let mut liar = subscriber(&place).attach("c").unwrap();
    let mut honest = subscriber(&place).attach("c").unwrap();
    for number in 0..500_u64 {
        publishing.publish_copy(&number.to_le_bytes()).unwrap();
        let frame = honest.recv().unwrap();
        assert_eq!(frame.to_vec(), number.to_le_bytes());
        if number < 200 {
            drop(liar.recv().unwrap());
        } else if number == 200 {
            let at = in_seat("PINS", 0);
            file(&place, "1.peers").write_at(&[0xff; 8], at).unwrap();
        }
    }
    let info = inspect::inspect(&place.namespace, "c").unwrap();
    assert_eq!(info.counters.lies, 1);
    file(&place, "1.peers")
        .write_at(&[0; 8], in_seat("PINS", 0))
        .unwrap();
    let told = liar.recv_timeout(Duration::from_secs(10)).unwrap_err();
    let lied = EvictionReason::Lied;
    assert!(
        matches!(told, RecvError::Evicted { reason, .. } if reason == lied),
        "{told}"
    );
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

/// Patterns of slots: what there is to do with a channel of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slots {
    Snapshot,
    Broadcast,
    Guarded,
}

const SLOTS: [Slots; 3] = [Slots::Snapshot, Slots::Broadcast, Slots::Guarded];

impl Slots {
    fn record(place: &Place) -> RecordOptions {
        RecordOptions::new()
            .namespace(place.namespace.clone())
            .seats(2)
            .value_size(64)
            .checksums(true)
            .heartbeat(false)
    }

    fn writer(place: &Place) -> WriterOptions {
        WriterOptions::new()
            .namespace(place.namespace.clone())
            .seats(2)
            .value_size(64)
            .checksums(true)
            .heartbeat(false)
    }

    fn sender(place: &Place) -> SenderOptions {
        SenderOptions::new()
            .namespace(place.namespace.clone())
            .seats(2)
            .slots(4)
            .value_size(64)
            .checksums(true)
            .heartbeat(false)
    }

    fn reader(place: &Place) -> ReaderOptions {
        ReaderOptions::new()
            .namespace(place.namespace.clone())
            .heartbeat(false)
            .attach_timeout(Some(Duration::from_millis(1)))
    }

    fn receiver(place: &Place) -> ReceiverOptions {
        ReceiverOptions::new()
            .namespace(place.namespace.clone())
            .start(Start::Oldest)
            .heartbeat(false)
            .attach_timeout(Some(Duration::from_millis(1)))
    }

    /// Leaves a channel behind with some values and nobody in it.
    fn leave(self, place: &Place) {
        match self {
            Slots::Snapshot => {
                let mut writer = Self::writer(place).open("c").unwrap();
                for number in 0..5 {
                    writer.put(&[number; 50]).unwrap();
                }
                writer.abandon();
            }
            Slots::Broadcast => {
                let mut sender = Self::sender(place).open("c").unwrap();
                for number in 0..5 {
                    sender.send(&[number; 50]).unwrap();
                }
                sender.abandon();
            }
            Slots::Guarded => {
                let mut record = Self::record(place).open("c").unwrap();
                for number in 0..5 {
                    let mut guard = record.lock().unwrap().consistent();
                    *guard.value_mut() = vec![number; 50];
                    guard.commit().unwrap();
                }
            }
        }
    }

    /// Reads for a while; values are whole, for they have checksums, and errors are fine.
    fn read(self, place: &Place, end: Instant) {
        let whole = |value: &[u8]| assert!(value.iter().all(|byte| *byte == value[0]), "torn");
        let moment = Duration::from_millis(1);
        if self == Slots::Broadcast {
            let Ok(mut receiver) = Self::receiver(place).attach("c") else {
                return;
            };
            loop {
                match receiver.recv_timeout(moment) {
                    Ok(value) => whole(&value),
                    Err(RecvError::Overrun { .. }) => {}
                    Err(RecvError::TimedOut { .. }) if Instant::now() < end => {}
                    Err(_) => return,
                }
                if Instant::now() >= end {
                    return;
                }
            }
        }
        let Ok(mut reader) = Self::reader(place).attach("c") else {
            return;
        };
        if let Ok(Some(value)) = reader.get() {
            whole(&value);
        }
        loop {
            match reader.changed_timeout(moment) {
                Ok(value) => whole(&value),
                Err(RecvError::Contended { .. } | RecvError::TimedOut { .. })
                    if Instant::now() < end => {}
                Err(_) => return,
            }
            if Instant::now() >= end {
                return;
            }
        }
    }

    /// Takes it over and writes, more than once round; errors are fine.
    fn write(self, place: &Place, values: u8) {
        match self {
            Slots::Snapshot => {
                if let Ok(mut writer) = Self::writer(place).open("c") {
                    for number in 0..values {
                        let _ = writer.put(&[number; 64]);
                    }
                    writer.abandon();
                }
            }
            Slots::Broadcast => {
                if let Ok(mut sender) = Self::sender(place).open("c") {
                    for number in 0..values {
                        let _ = sender.send(&[number; 64]);
                    }
                    sender.abandon();
                }
            }
            Slots::Guarded => {
                let Ok(mut record) = Self::record(place).open("c") else {
                    return;
                };
                for number in 0..values {
                    let refused = match record.lock_timeout(Duration::from_millis(1)) {
                        Ok(lock) => {
                            let mut guard = lock.consistent();
                            *guard.value_mut() = vec![number; 64];
                            let _ = guard.commit();
                            false
                        }
                        Err(_) => true,
                    };
                    // Whatever became of it, a repair may be tried.
                    if refused && let Ok(mut guard) = record.repair(Some(Duration::from_millis(1)))
                    {
                        *guard.value_mut() = vec![number; 64];
                        let _ = guard.commit();
                        guard.mark_consistent();
                    }
                }
                let _ = record.get();
            }
        }
    }
}

#[test]
fn every_word_of_snapshots_broadcasts_and_records_may_lie_at_rest() {
    for pattern in SLOTS {
        let place = Place::new();
        pattern.leave(&place);
        let directory = place.path().join("c");
        let honest = ["root", "1.owner", "1.peers"]
            .map(|name| (name, std::fs::read(directory.join(name)).unwrap()));
        let mut tried = 0;
        for (name, bytes) in &honest {
            // Headers, cursors, verdicts, the pattern's own words, seats, and two slots.
            let words = (0..bytes.len() / 8).filter(|word| {
                let at = word * 8;
                at < 1152 || (3072..3328).contains(&at) || (4096..4096 + 256).contains(&at)
            });
            for word in words {
                let at = word * 8;
                let value = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                for lie in lies(value).into_iter().step_by(4) {
                    let _ = std::fs::create_dir(&directory);
                    for (name, bytes) in &honest {
                        std::fs::write(directory.join(name), bytes).unwrap();
                    }
                    std::fs::write(directory.join("lock"), []).unwrap();
                    file(&place, name)
                        .write_at(&lie.to_le_bytes(), at as u64)
                        .unwrap();
                    let survived = catch_unwind(AssertUnwindSafe(|| {
                        let _ = inspect::inspect(&place.namespace, "c");
                        pattern.read(&place, Instant::now());
                        pattern.write(&place, 6);
                        pattern.read(&place, Instant::now());
                        let _ = manage::clean(&place.namespace);
                    }));
                    assert!(
                        survived.is_ok(),
                        "{pattern:?}, {name}, offset {at}: {value:#x} became {lie:#x}"
                    );
                    tried += 1;
                    if directory.exists() {
                        let _ = manage::remove(&place.namespace, "c", true);
                        let _ = std::fs::remove_dir_all(&directory);
                    }
                }
            }
        }
        assert!(tried > 1500, "{tried}");
    }
}

#[test]
fn random_bytes_in_live_snapshots_broadcasts_and_records_harm_nobody() {
    let mut random = Random::from_environment();
    for round in 0..30 {
        let pattern = SLOTS[round % SLOTS.len()];
        let place = Place::new();
        pattern.leave(&place);
        let end = Instant::now() + Duration::from_millis(60);
        thread::scope(|scope| {
            let writing = scope.spawn(|| {
                while Instant::now() < end {
                    pattern.write(&place, 20);
                }
            });
            let reading = [(); 2].map(|()| {
                scope.spawn(|| {
                    while Instant::now() < end {
                        pattern.read(&place, end);
                    }
                })
            });
            while Instant::now() < end {
                let name = SEGMENTS[random.below(4) as usize];
                let reach = if random.below(2) == 0 { 1024 } else { 4608 };
                let len = 1 + random.below(16) as usize;
                let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
                let at = random.below(reach);
                let path = place.path().join("c").join(name);
                // A writer may make the channel anew meanwhile.
                if let Ok(segment) = std::fs::OpenOptions::new().write(true).open(path)
                    && at + len as u64 <= segment.metadata().unwrap().len()
                {
                    segment.write_at(&bytes, at).unwrap();
                }
                let _ = inspect::inspect(&place.namespace, "c");
            }
            writing.join().expect("no panic in a writer");
            for reading in reading {
                reading.join().expect("no panic in a reader");
            }
        });
        if place.path().join("c").exists() {
            manage::remove(&place.namespace, "c", true).unwrap();
        }
        pattern.leave(&place);
    }
}
