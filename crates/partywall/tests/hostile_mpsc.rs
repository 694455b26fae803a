//! Bytes that nobody honest wrote in an mpsc channel: every handle answers with an error that says so, or goes on.

mod common;

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, Random, file, lies};
use partywall::mpsc::{ReceiverOptions, SenderOptions};
use partywall::{RecvError, SendError, inspect, manage};

const SEGMENTS: [&str; 4] = ["root", "lock", "1.owner", "1.peers"];

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
