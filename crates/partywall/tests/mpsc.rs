//! Many senders and one receiver through the public API: what arrives, in what order, and when it ends.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::Place;
use common::system::At;
use partywall::mpsc::{
    Event, LaneCounters, Meta, Overflow, Receiver, ReceiverOptions, Sender, SenderId,
    SenderOptions, Sent,
};
use partywall::{OpenError, RecvError, SendError, StopToken, WaitStrategy, inspect, manage};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// Small lanes, so that laps are short.
fn receiver(place: &Place) -> ReceiverOptions {
    ReceiverOptions::new()
        .namespace(place.namespace.clone())
        .lane_capacity(4096)
}

fn sender(place: &Place) -> SenderOptions {
    SenderOptions::new().namespace(place.namespace.clone())
}

fn id(seat: u32, epoch: u64) -> SenderId {
    SenderId { seat, epoch }
}

/// The content of a sender's record with this number, all of it.
fn content(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..number as usize * 13 % 90).map(|at| (number as usize + at) as u8));
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, content(number), "a torn record");
    number
}

fn numbered(event: Event) -> Event<(SenderId, u64)> {
    match event {
        Event::Record(record) => Event::Record((record.sender, number(&record))),
        Event::Opened(sender) => Event::Opened(sender),
        Event::Closed(sender) => Event::Closed(sender),
        Event::Died(sender) => Event::Died(sender),
        Event::Lied(sender, lie) => Event::Lied(sender, lie),
    }
}

/// Receives until nothing is there; records as their numbers.
fn drain(receiver: &mut Receiver) -> Vec<Event<(SenderId, u64)>> {
    let mut events = Vec::new();
    while let Some(event) = receiver.try_recv().unwrap() {
        events.push(numbered(event));
    }
    events
}

#[test]
fn each_senders_records_arrive_in_order_whole_and_between_its_coming_and_its_leaving() {
    let place = Place::new();
    let mut receiver = receiver(&place).seats(8).open("m").unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut sender = sender(&place).attach("m").unwrap();
                for number in 0..3000 {
                    assert_eq!(sender.send(&content(number)).unwrap(), Sent::Committed);
                }
                assert_eq!(sender.records(), 3000);
            });
        }
        let mut next: HashMap<SenderId, u64> = HashMap::new();
        let mut closed = 0;
        let mut payload = Vec::new();
        while closed < 8 {
            match receiver
                .recv_into_timeout(&mut payload, Some(LONG))
                .unwrap()
            {
                Event::Opened(sender) => assert_eq!(next.insert(sender, 0), None),
                Event::Record(Meta { sender, len, .. }) => {
                    assert_eq!(len, payload.len());
                    let expected = next.get_mut(&sender).unwrap();
                    assert_eq!(number(&payload), *expected);
                    *expected += 1;
                }
                Event::Closed(sender) => {
                    assert_eq!(next.remove(&sender), Some(3000), "after its last record");
                    closed += 1;
                }
                other => panic!("{other:?}"),
            }
        }
    });
    receiver.acknowledge();
    assert_eq!(receiver.received(), 8 * 3000);
}

#[test]
fn sixty_four_senders_are_all_heard_though_some_never_stop() {
    let place = Place::new();
    let mut receiver = receiver(&place).seats(64).open("m").unwrap();
    let over = AtomicBool::new(false);
    let mut quiet: Vec<Sender> = (0..60)
        .map(|_| sender(&place).attach("m").unwrap())
        .collect();
    assert!(matches!(
        sender(&place).attach("m").map(|sender| sender.id().seat),
        Ok(60)
    ));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut loud = sender(&place).attach("m").unwrap();
                let mut number = 0;
                while !over.load(Relaxed) {
                    match loud.send_timeout(&content(number), Duration::from_millis(50)) {
                        Ok(_) => number += 1,
                        Err(SendError::TimedOut { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for (number, sender) in (0..).zip(&mut quiet) {
            sender.send(&content(number)).unwrap();
        }
        let mut heard = 0;
        while heard < 60 {
            let Event::Record(record) = receiver.recv_timeout(LONG).unwrap() else {
                continue;
            };
            if record.sender.seat < 60 {
                assert_eq!(number(&record), u64::from(record.sender.seat));
                heard += 1;
            }
        }
        over.store(true, Relaxed);
    });
    let refused: Vec<_> = (0..5).map(|_| sender(&place).attach("m")).collect();
    assert!(matches!(
        refused.last(),
        Some(Err(OpenError::NoFreeSeat { seats: 64, .. }))
    ));
}

#[test]
fn no_lane_waits_longer_than_a_turn_of_each_other() {
    let place = Place::new();
    let mut receiver = receiver(&place).seats(3).open("m").unwrap();
    let mut senders: Vec<Sender> = (0..3)
        .map(|_| sender(&place).attach("m").unwrap())
        .collect();
    for number in 0..100 {
        for sender in &mut senders[..2] {
            sender.send(&number_only(number)).unwrap();
        }
    }
    senders[2].send(&number_only(0)).unwrap();
    let before = (0..)
        .take_while(|_| match receiver.try_recv().unwrap().unwrap() {
            Event::Record(record) => record.sender.seat != 2,
            _ => true,
        })
        .count();
    assert!(before <= 2 * 33 + 3, "{before} before the third's turn");
}

fn number_only(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

#[test]
fn a_sender_that_panics_has_died_behind_its_last_record() {
    let place = Place::new();
    let mut receiver = receiver(&place).seats(2).open("m").unwrap();
    for _ in 0..3 {
        let panicked = thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let mut sender = sender(&place).attach("m").unwrap();
                sender.send(&content(0)).unwrap();
                sender.send(&content(1)).unwrap();
                // Without the message of a panic.
                std::panic::resume_unwind(Box::new(sender.id()));
            });
            panicking.join().unwrap_err()
        });
        let dead = *panicked.downcast::<SenderId>().unwrap();
        let mut told = Vec::new();
        while told.len() < 4 {
            told.push(numbered(receiver.recv_timeout(LONG).unwrap()));
        }
        assert_eq!(
            told,
            [
                Event::Opened(dead),
                Event::Record((dead, 0)),
                Event::Record((dead, 1)),
                Event::Died(dead)
            ]
        );
    }
    let info = inspect::inspect(&place.namespace, "m").unwrap();
    assert_eq!((info.counters.evictions, info.records), (2, 6));
    receiver.acknowledge();
    assert_eq!(drain(&mut receiver), []);
    let info = inspect::inspect(&place.namespace, "m").unwrap();
    assert_eq!(info.counters.evictions, 3);
}

#[test]
fn a_full_lane_holds_nobody_but_its_sender_and_each_policy_does_what_it_says() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("m").unwrap();
    let attach = |overflow| {
        let options = sender(&place).overflow(overflow);
        options
            .block_timeout(Some(Duration::from_millis(1)))
            .attach("m")
            .unwrap()
    };
    let mut blocking = attach(Overflow::Block);
    let mut failing = attach(Overflow::Fail);
    let mut dropping = attach(Overflow::DropNewest);
    let payload = [7; 100];
    let fill = |sender: &mut Sender| {
        while sender.try_send(&payload).is_ok() {}
        sender.records()
    };
    let committed = [fill(&mut blocking), fill(&mut failing), fill(&mut dropping)];
    assert!(committed.iter().all(|&records| records == committed[0]));
    let told = blocking.send(&payload).unwrap_err();
    assert!(
        matches!(
            told,
            SendError::TimedOut {
                awaited: "room",
                ..
            }
        ),
        "{told}"
    );
    assert!(matches!(
        failing.send(&payload),
        Err(SendError::Full { .. })
    ));
    for _ in 0..5 {
        assert_eq!(dropping.send(&payload).unwrap(), Sent::Dropped);
    }
    assert!(matches!(dropping.reserve(100), Err(SendError::Full { .. })));
    let info = inspect::inspect(&place.namespace, "m").unwrap();
    assert_eq!((info.counters.dropped, info.counters.blocked), (6, 1));
    assert_eq!(info.seats.len(), 3);
    assert!(info.seats.iter().all(|seat| seat.depth_bytes > 3000));
    assert_eq!(info.seats[2].dropped, 6);
    let received = drain_bytes(&mut receiver, &payload);
    assert_eq!(received, 3 * committed[0]);
    assert_eq!(receiver.received(), received);
    let lane = receiver.lane(2).unwrap();
    let expected = LaneCounters {
        received: committed[2],
        dropped: 6,
        ..LaneCounters::default()
    };
    assert_eq!(lane, expected);
    assert_eq!(receiver.lane(8), None);
    for sender in [&mut blocking, &mut failing, &mut dropping] {
        assert_eq!(sender.send(&payload).unwrap(), Sent::Committed);
        let longest = sender.max_record();
        let told = sender.send(&vec![0; longest + 1]).unwrap_err();
        assert!(
            matches!(told, SendError::TooLarge { max, .. } if max == longest),
            "{told}"
        );
    }
}

fn drain_bytes(receiver: &mut Receiver, expected: &[u8]) -> u64 {
    let mut records = 0;
    while let Some(event) = receiver.try_recv().unwrap() {
        if let Event::Record(record) = event {
            assert_eq!(&record[..], expected);
            records += 1;
        }
    }
    records
}

#[test]
fn the_longest_record_finds_room_from_any_position() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("m").unwrap();
    let mut sender = sender(&place).attach("m").unwrap();
    let longest = sender.max_record();
    assert_eq!(longest, 2048 - 16);
    for len in 0..300 {
        for len in [len, longest] {
            sender.try_send(&vec![len as u8; len]).unwrap();
            let record = receiver.recv_record().unwrap();
            assert_eq!((record.len(), record.sender), (len, sender.id()));
            receiver.acknowledge();
        }
    }
}

#[test]
fn batches_and_reservations_are_the_rings() {
    let place = Place::new();
    let mut receiver = receiver(&place).open("m").unwrap();
    let mut sender = sender(&place).attach("m").unwrap();
    let mut batch = sender.batch();
    for number in 0..5 {
        batch.push(&content(number)).unwrap();
    }
    assert_eq!(drain(&mut receiver), [Event::Opened(id(0, 1))]);
    batch.commit();
    sender.batch().push(b"never sent").unwrap();
    sender.reserve(60).unwrap().write_at(0, &[0xff; 60]);
    let mut room = sender.reserve(300).unwrap();
    room.write_at(0, &[0xff; 300]);
    let bytes = content(5);
    room.write_at(0, &bytes);
    room.set_kind(9);
    room.commit_len(bytes.len());
    let kinds: Vec<(u16, u64)> = (0..6)
        .map(|_| {
            let record = receiver.recv_record().unwrap();
            (record.kind, number(&record))
        })
        .collect();
    assert_eq!(kinds, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (9, 5)]);
    assert_eq!(sender.records(), 6);
}

#[test]
fn sleepers_are_woken_a_receiver_by_each_record_and_a_sender_by_room() {
    let place = Place::new();
    let options = receiver(&place).wait(WaitStrategy::Park);
    let mut receiver = options.open("m").unwrap();
    let parked = || {
        let info = inspect::inspect(&place.namespace, "m").unwrap();
        info.seats.iter().any(|seat| seat.parked)
    };
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let options = sender(&place).wait(WaitStrategy::Park);
            let mut sender = options.attach("m").unwrap();
            for number in 0..400 {
                sender.send(&content(number)).unwrap();
            }
            sender.flush(Some(LONG)).unwrap();
        });
        // The lane is full, and its sender asleep.
        while !parked() {
            thread::yield_now();
        }
        for expected in 0..400 {
            assert_eq!(number(&receiver.recv_record().unwrap()), expected);
        }
        // Only who asks for more says that it is done with what it got.
        assert!(matches!(
            receiver.recv_timeout(LONG).unwrap(),
            Event::Closed(_)
        ));
        sending.join().unwrap();
    });
}

#[test]
fn waits_end_by_time_out_stop_and_removal() {
    let place = Place::new();
    let stop = StopToken::new();
    let mut receiver = receiver(&place).stop_token(stop.clone()).open("m").unwrap();
    let told = receiver.recv_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(told, RecvError::TimedOut { .. }), "{told}");
    let mut sender = sender(&place).stop_token(stop.clone()).attach("m").unwrap();
    sender.send(&content(0)).unwrap();
    let told = sender.flush(Some(Duration::from_millis(1))).unwrap_err();
    assert!(matches!(told, SendError::TimedOut { .. }), "{told}");
    assert_eq!(
        receiver.records().next().unwrap().unwrap().payload,
        content(0)
    );
    stop.stop();
    assert!(matches!(sender.flush(None), Err(SendError::Stopped { .. })));
    assert!(matches!(receiver.recv(), Err(RecvError::Stopped { .. })));
    assert!(receiver.records().next().is_none());
    sender.flush(Some(LONG)).unwrap();
    manage::remove(&place.namespace, "m", true).unwrap();
    let told = sender.send(b"nobody is there").unwrap_err();
    assert!(matches!(told, SendError::Deleted { .. }), "{told}");
    let told = loop {
        match receiver.try_recv() {
            Ok(_) => thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert!(matches!(told, RecvError::Deleted { .. }), "{told}");
}

#[test]
fn a_receiver_that_closes_ends_every_send_and_takes_the_channel_with_it() {
    let place = Place::new();
    let mut receiver_1 = receiver(&place).open("m").unwrap();
    let mut senders: Vec<Sender> = (0..2)
        .map(|_| sender(&place).attach("m").unwrap())
        .collect();
    while senders[0].try_send(&content(1)).is_ok() {}
    assert!(matches!(receiver_1.try_recv(), Ok(Some(Event::Opened(_)))));
    thread::scope(|scope| {
        let [full, idle] = &mut senders[..] else {
            panic!()
        };
        let blocked = scope.spawn(|| full.send(&content(1)));
        let seats = || inspect::inspect(&place.namespace, "m").unwrap().seats;
        while !seats().iter().any(|seat| seat.parked) {
            thread::yield_now();
        }
        receiver_1.close().unwrap();
        let told = blocked.join().unwrap().unwrap_err();
        assert!(matches!(told, SendError::Closed { .. }), "{told}");
        // With room, too.
        let told = idle.send(&content(1)).unwrap_err();
        assert!(matches!(told, SendError::Closed { .. }), "{told}");
        assert!(matches!(
            idle.flush(Some(LONG)),
            Err(SendError::Closed { .. })
        ));
    });
    // One that comes in the meantime makes it anew, with the old senders still there.
    let mut receiver_2 = receiver(&place).open("m").unwrap();
    assert!(!receiver_2.adopted());
    assert_eq!(receiver_2.generation(), 2);
    assert!(matches!(
        senders[1].send(&content(1)),
        Err(SendError::Closed { .. })
    ));
    drop(senders);
    let mut sender = sender(&place).attach("m").unwrap();
    sender.send(&content(1)).unwrap();
    sender.close().unwrap();
    assert_eq!(
        drain(&mut receiver_2),
        [
            Event::Opened(id(0, 1)),
            Event::Record((id(0, 1), 1)),
            Event::Closed(id(0, 1))
        ]
    );
    drop(receiver_2);
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_successor_receives_everything_that_was_not_acknowledged() {
    let place = Place::new();
    let mut first = receiver(&place).open("m").unwrap();
    let mut early = sender(&place).attach("m").unwrap();
    for number in 0..10 {
        early.send(&content(number)).unwrap();
    }
    for expected in 0..4 {
        assert_eq!(number(&first.recv_record().unwrap()), expected);
    }
    // What was received counts as processed: it leaves in an orderly way, but does not close.
    first.abandon();
    // Nobody is there: it goes on, and another one comes and leaves.
    for number in 10..15 {
        early.send(&content(number)).unwrap();
    }
    let mut late = sender(&place).attach("m").unwrap();
    late.send(&content(0)).unwrap();
    late.close().unwrap();
    let mut second = receiver(&place).open("m").unwrap();
    assert!(second.adopted());
    let mut events = drain(&mut second);
    events.sort_by_key(|event| match event {
        Event::Record((sender, _)) | Event::Opened(sender) | Event::Closed(sender) => sender.seat,
        other => panic!("{other:?}"),
    });
    let mut expected: Vec<_> = (4..15)
        .map(|number| Event::Record((id(0, 1), number)))
        .collect();
    expected.extend([
        Event::Opened(id(1, 1)),
        Event::Record((id(1, 1), 0)),
        Event::Closed(id(1, 1)),
    ]);
    assert_eq!(events, expected);
    assert_eq!(second.received(), 16);
    assert_eq!(early.owner_epoch(), 2);
}

#[test]
fn larger_lanes_are_refused_while_something_is_left_to_receive() {
    let place = Place::new();
    receiver(&place).open("m").unwrap().abandon();
    let mut gone = sender(&place).attach("m").unwrap();
    gone.send(&content(3)).unwrap();
    drop(gone);
    let larger = receiver(&place).lane_capacity(8192);
    let refused = larger.open("m").unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Mismatch {
                expected: 8192,
                found: 4096,
                ..
            }
        ),
        "{refused}"
    );
    let mut heir = receiver(&place).open("m").unwrap();
    assert_eq!(drain(&mut heir).len(), 3, "it came, it sent, it left");
    heir.abandon();
    assert_eq!(larger.open("m").unwrap().lane_capacity(), 8192);
}

#[cfg(target_os = "linux")] // /proc says how memory is mapped
#[test]
fn a_sender_maps_its_own_lane_writable_and_no_other() {
    let place = Place::new();
    let _receiver = receiver(&place).seats(4).open("m").unwrap();
    let senders: Vec<Sender> = (0..2)
        .map(|_| sender(&place).attach("m").unwrap())
        .collect();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let of = |file: &str| -> Vec<(String, u64)> {
        let path = place.path().join("m").join(file);
        let lines = maps
            .lines()
            .filter(|line| line.ends_with(path.to_str().unwrap()));
        let mut found: Vec<(String, u64)> = lines
            .map(|line| {
                let columns: Vec<&str> = line.split_whitespace().collect();
                let offset = u64::from_str_radix(columns[2], 16).unwrap();
                (columns[1].to_owned(), offset)
            })
            .collect();
        found.sort();
        found
    };
    let writable: Vec<u64> = of("1.peers")
        .into_iter()
        .filter(|(mode, _)| mode == "rw-s")
        .map(|(_, offset)| offset)
        .collect();
    // The seats, once for each sender, and one lane each.
    let lane = 65536;
    assert_eq!(writable, [0, 0, lane, 2 * lane]);
    let owner: Vec<String> = of("1.owner").into_iter().map(|(mode, _)| mode).collect();
    assert_eq!(owner, ["r--s", "r--s", "rw-s"]);
    drop(senders);
}

#[test]
fn a_lane_that_was_scribbled_over_is_cut_off_and_the_others_go_on() {
    let place = Place::new();
    let mut receiver = receiver(&place).seats(2).open("m").unwrap();
    let mut victim = sender(&place).attach("m").unwrap();
    let mut other = sender(&place).attach("m").unwrap();
    drop(drain(&mut receiver));
    let at = 65536 + victim.position();
    victim.send(&content(1)).unwrap();
    let segment = std::fs::OpenOptions::new()
        .write(true)
        .open(place.path().join("m/1.peers"))
        .unwrap();
    segment.write_at(&[0xff; 8], at).unwrap();
    other.send(&content(1)).unwrap();
    let told = drain(&mut receiver);
    assert!(
        matches!(&told[..], [Event::Lied(liar, _), Event::Record((honest, 1))] if *liar == victim.id() && *honest == other.id()),
        "{told:?}"
    );
    let info = inspect::inspect(&place.namespace, "m").unwrap();
    assert_eq!(info.counters.lies, 1);
    assert!(info.seats[0].evicted && !info.seats[1].evicted);
    // It learns of it when it looks for room.
    let told = loop {
        match victim.send(&content(2)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(told, SendError::Evicted { .. }), "{told}");
    drop(victim);
    let mut heir = sender(&place).attach("m").unwrap();
    assert_eq!(heir.id(), id(0, 2));
    heir.send(&content(3)).unwrap();
    assert_eq!(
        drain(&mut receiver),
        [Event::Opened(heir.id()), Event::Record((heir.id(), 3))]
    );
}

#[test]
fn other_patterns_are_refused_by_name() {
    let place = Place::new();
    let _receiver = receiver(&place).open("m").unwrap();
    let refused = place.consumer().attach("m").unwrap_err();
    assert!(
        matches!(&refused, OpenError::WrongPattern { expected: "ring", found, .. } if found == "mpsc"),
        "{refused}"
    );
    let _producer = place.producer().open("r").unwrap();
    assert!(matches!(
        sender(&place).attach("r"),
        Err(OpenError::WrongPattern { .. })
    ));
    let again = receiver(&place).open("m").unwrap_err();
    assert!(matches!(again, OpenError::AlreadyOwned { .. }), "{again}");
    for bytes in [0, (4 << 30) + 1] {
        let refused = receiver(&place).lane_capacity(bytes).open("x").unwrap_err();
        assert!(matches!(refused, OpenError::InvalidOption { .. }));
    }
}
