//! Operations in which a producer is the victim.

use std::sync::{Arc, Mutex};
use std::thread;

use partywall::ring::{Alone, Overflow, Sent};
use partywall::{OpenError, RecvError, SendError, WaitStrategy, inspect, manage};

use crate::victim::{Report, Stage, say};
use crate::world::{
    CHANNEL, Payload, Sleeper, World, committed, consumer_options, producer_options, receive,
};
use crate::{Located, Swept};

pub(crate) fn operations() -> Vec<Swept<World>> {
    vec![
        Swept {
            name: "create",
            least_points: 110,
            prepare: World::empty,
            act: |stage| {
                stage.armed();
                let options = stage.producer_options().alone(Alone::Discard);
                let mut producer = options.open(CHANNEL).unwrap();
                stage.send(&mut producer, 24);
                stage.send(&mut producer, 24);
                producer.abandon();
                stage.disarmed();
            },
            check: |world, report| world.successor_goes_on(report, 0, 1),
        },
        Swept {
            name: "create_over_closed",
            least_points: 84,
            prepare: || {
                let mut world = World::producing();
                world.durable().attach(CHANNEL).unwrap().detach();
                for _ in 0..3 {
                    world.send();
                }
                world.before = 3;
                world.producer.take().unwrap().close().unwrap();
                world
            },
            act: |stage| {
                stage.armed();
                let mut producer = stage.producer();
                stage.send(&mut producer, 24);
                producer.abandon();
                stage.disarmed();
            },
            check: check_over_closed,
        },
        Swept {
            name: "adopt",
            least_points: 24,
            prepare: || World::abandoned(5),
            act: |stage| {
                stage.armed();
                let mut producer = stage.producer();
                stage.send(&mut producer, 24);
                producer.abandon();
                stage.disarmed();
            },
            check: |world, report| world.successor_goes_on(report, 0, 1),
        },
        Swept {
            name: "send",
            least_points: 24,
            prepare: || World::abandoned(0),
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                for len in [8, 9, 100, 1000] {
                    stage.send(&mut producer, len);
                }
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| world.successor_goes_on(report, 0, 1),
        },
        Swept {
            name: "send_with_padding",
            least_points: 22,
            prepare: || World::abandoned_before_the_end(320),
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                stage.send(&mut producer, 200);
                // Does not fit before the end: padding, then a record at the start.
                stage.send(&mut producer, 600);
                stage.send(&mut producer, 24);
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| {
                let before = world.before;
                world.successor_goes_on(report, before, 1);
            },
        },
        Swept {
            name: "reserve_and_commit_less",
            least_points: 28,
            prepare: || World::abandoned_before_the_end(256),
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                for len in [24, 150] {
                    producer.reserve(60).unwrap().write_at(0, &[0xff; 60]);
                    let number = producer.records();
                    let mut room = producer.reserve(300).unwrap();
                    room.write_at(0, &[0xff; 300]);
                    room.write_at(0, &Payload::bytes(number, len));
                    room.commit_len(len);
                    say("sent", number);
                }
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| {
                let before = world.before;
                world.successor_goes_on(report, before, 1);
            },
        },
        Swept {
            name: "batch_through_the_end",
            least_points: 38,
            prepare: || World::abandoned_before_the_end(256),
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                for _ in 0..2 {
                    let first = producer.records();
                    let mut batch = producer.batch();
                    for number in first..first + 5 {
                        batch.push(&Payload::bytes(number, 60)).unwrap();
                    }
                    batch.commit();
                    (first..first + 5).for_each(|number| say("sent", number));
                }
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| {
                let before = world.before;
                // A batch is in flight while it is being reported.
                world.successor_goes_on(report, before, 5);
            },
        },
        Swept {
            name: "drop_newest",
            least_points: 63,
            prepare: || World::abandoned(0),
            act: |stage| {
                let options = stage.producer_options().overflow(Overflow::DropNewest);
                let mut producer = options.open(CHANNEL).unwrap();
                stage.armed();
                for _ in 0..12 {
                    let number = producer.records();
                    if producer.send(&Payload::bytes(number, 400)).unwrap() == Sent::Committed {
                        say("sent", number);
                    }
                }
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| {
                // Undisturbed, some of the twelve are dropped, and the survivor has read none.
                assert!(report.sent.len() < 12);
                world.successor_after_a_full_ring(report);
            },
        },
        Swept {
            name: "wait_for_room",
            least_points: 4,
            prepare: || World::abandoned(0),
            act: |stage| {
                let options = stage.producer_options().wait(WaitStrategy::Park);
                let mut producer = options.open(CHANNEL).unwrap();
                while producer
                    .try_send(&Payload::bytes(producer.records(), 24))
                    .is_ok()
                {
                    say("sent", producer.records() - 1);
                }
                stage.armed();
                let waited = producer.send_timeout(&[0; 24], std::time::Duration::from_millis(5));
                assert!(matches!(waited, Err(SendError::TimedOut { .. })));
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| world.successor_after_a_full_ring(report),
        },
        Swept {
            name: "wake_a_sleeper",
            least_points: 9,
            prepare: || {
                let mut world = World::abandoned(0);
                let mut sleeper = consumer_options(&world.namespace)
                    .wait(WaitStrategy::Park)
                    .await_successor(true)
                    .attach(CHANNEL)
                    .unwrap();
                world.survivor = None;
                let got = Arc::new(Mutex::new(Vec::new()));
                let mine = Arc::clone(&got);
                let thread = thread::spawn(move || {
                    while let Ok(record) = sleeper.recv() {
                        mine.lock().unwrap().push(Payload::number(&record));
                    }
                });
                world.sleeper = Some(Sleeper { got, thread });
                world
            },
            act: |stage| {
                let mut producer = stage.producer();
                let asleep = || {
                    let info = inspect::inspect(&stage.namespace, CHANNEL).unwrap();
                    info.seats.iter().any(|seat| seat.parked)
                };
                while !asleep() {
                    thread::yield_now();
                }
                stage.armed();
                stage.send(&mut producer, 24);
                stage.disarmed();
                producer.abandon();
            },
            check: |mut world, report| {
                let sleeper = world.sleeper.take().unwrap();
                // The sleeper gets what was committed although the bell may never have rung, and before anybody
                // else rings it.
                let committed = !report.sent.is_empty()
                    || inspect::inspect(&world.namespace, CHANNEL).unwrap().records == 1;
                while committed && sleeper.got.lock().unwrap().is_empty() {
                    thread::yield_now();
                }
                let mut successor = producer_options(&world.namespace).open(CHANNEL).unwrap();
                let count = successor.records();
                assert!((report.sent.len() as u64..=1).contains(&count));
                successor.send(&Payload::bytes(count, 24)).unwrap();
                successor.close().unwrap();
                sleeper.thread.join().unwrap();
                assert_eq!(*sleeper.got.lock().unwrap(), Vec::from_iter(0..=count));
                world.nothing_is_left();
            },
        },
        Swept {
            name: "close",
            least_points: 11,
            prepare: || World::abandoned(3),
            act: |stage| {
                let producer = stage.producer();
                stage.armed();
                producer.close().unwrap();
                stage.disarmed();
            },
            check: check_close,
        },
        Swept {
            name: "close_with_nobody_there",
            least_points: 26,
            prepare: World::empty,
            act: close_alone,
            check: |world, report| {
                // Whatever is left of it, a new channel can be made.
                let report = Report {
                    points: report.points,
                    ..Report::default()
                };
                world.successor_goes_on(&report, 0, 0);
            },
        },
        Swept {
            name: "close_with_nobody_there_then_clean",
            least_points: 26,
            prepare: World::empty,
            act: close_alone,
            check: |world, _| world.clean_removes_the_rest(),
        },
        Swept {
            name: "flush",
            least_points: 10,
            prepare: || World::abandoned_before_the_end(2000),
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                producer.flush(None).unwrap();
                stage.send(&mut producer, 24);
                let taken = producer.flush(Some(std::time::Duration::from_millis(60)));
                assert!(matches!(taken, Err(SendError::TimedOut { .. })));
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| {
                let before = world.before;
                world.successor_goes_on(report, before, 1);
            },
        },
        Swept {
            name: "clean",
            least_points: 22,
            prepare: || {
                let mut world = World::abandoned(3);
                world.survivor = None;
                world
            },
            act: |stage| {
                stage.armed();
                manage::clean(&stage.namespace).unwrap();
                stage.disarmed();
            },
            check: |world, _| world.clean_removes_the_rest(),
        },
        Swept {
            name: "remove",
            least_points: 22,
            prepare: || {
                let mut world = World::abandoned(3);
                world.survivor = None;
                world
            },
            act: |stage| {
                stage.armed();
                manage::remove(&stage.namespace, CHANNEL, false).unwrap();
                stage.disarmed();
            },
            check: |world, _| world.clean_removes_the_rest(),
        },
        Swept {
            name: "remove_by_force",
            least_points: 15,
            prepare: || World::abandoned(3),
            act: |stage| {
                stage.armed();
                manage::remove(&stage.namespace, CHANNEL, true).unwrap();
                stage.disarmed();
            },
            check: |mut world, report| {
                let mut survivor = world.survivor.take().unwrap();
                for number in 0..3 {
                    assert_eq!(receive(&mut survivor), number);
                }
                if report.points.is_some() {
                    let ended = survivor.recv();
                    assert!(matches!(ended, Err(RecvError::Deleted { .. })), "{ended:?}");
                }
                drop(survivor);
                world.clean_removes_the_rest();
            },
        },
        Swept {
            name: "evict_a_dead_consumer",
            least_points: 60,
            prepare: || {
                let mut world = World::producing();
                // It takes the first seat, and is gone.
                crate::victim::run(
                    "sit_down_and_vanish",
                    world.path(),
                    crate::victim::Fault::None,
                );
                let mut survivor = world.consumer();
                for number in 0..10 {
                    world.send();
                    assert_eq!(receive(&mut survivor), number);
                }
                assert!(survivor.try_recv().unwrap().is_none());
                world.survivor = Some(survivor);
                let producer = world.producer.take().unwrap();
                world.before = producer.records();
                producer.abandon();
                world
            },
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                // 410 bytes each, on top of the 320 that the dead one has not read.
                for _ in 0..9 {
                    stage.send(&mut producer, 400);
                }
                // Only now there is no room; the dead one is evicted, the survivor still holds.
                let full = producer.try_send(&[0; 400]);
                assert!(matches!(full, Err(SendError::Full { .. })));
                stage.disarmed();
                producer.abandon();
            },
            check: |world, report| {
                if report.points.is_some() {
                    assert_eq!(world.lost_at(0), 19, "what the dead one left unread");
                }
                world.successor_after_a_full_ring(report);
            },
        },
    ]
}

fn close_alone(stage: &Stage) {
    let producer = stage.producer();
    stage.armed();
    producer.close().unwrap();
    stage.disarmed();
}

/// The durable consumer gets the old stream to its end, and then the new one from its beginning.
fn check_over_closed(mut world: World, report: &Report) {
    let least = committed(world.before, report);
    let mut successor = producer_options(&world.namespace).open(CHANNEL).unwrap();
    let count = successor.records();
    assert!((least..=least + 1).contains(&count), "{count}");
    successor.send(&Payload::bytes(count, 24)).unwrap();
    successor.close().unwrap();
    for stream in [0..3, 3..count + 1] {
        let mut durable = world.durable().attach(CHANNEL).unwrap();
        for number in stream {
            assert_eq!(receive(&mut durable), number);
        }
        assert!(matches!(durable.recv(), Err(RecvError::Closed { .. })));
    }
    manage::forget(&world.namespace, CHANNEL, "d").unwrap();
    world.survivor = None;
    world.nothing_is_left();
}

/// Everything committed is read; then it is closed, or its producer died, and never one for the other.
fn check_close(mut world: World, report: &Report) {
    let mut survivor = world.survivor.take().unwrap();
    for number in 0..3 {
        assert_eq!(receive(&mut survivor), number);
    }
    match survivor.recv() {
        Err(RecvError::Closed { .. }) => {}
        Err(RecvError::OwnerDied { .. }) => {
            assert!(report.killed, "it closed, and is taken for dead");
            let successor = producer_options(&world.namespace).open(CHANNEL).unwrap();
            assert!(successor.adopted());
            successor.close().unwrap();
            assert!(matches!(survivor.recv(), Err(RecvError::Closed { .. })));
        }
        other => panic!("{other:?}"),
    }
    drop(survivor);
    world.nothing_is_left();
    let gone = consumer_options(&world.namespace)
        .attach_timeout(Some(std::time::Duration::ZERO))
        .attach(CHANNEL);
    assert!(matches!(gone, Err(OpenError::Missing { .. })));
}

impl World {
    /// As [`World::successor_goes_on`], but the survivor has read nothing and must do so first.
    fn successor_after_a_full_ring(mut self, report: &Report) {
        let least = committed(self.before, report);
        let mut survivor = self.survivor.take().unwrap();
        let mut expected = self.before;
        loop {
            match survivor.try_recv() {
                Ok(Some(record)) => assert_eq!(Payload::number(&record), expected),
                // Once in a while it looks for the producer, and nobody is one now.
                Ok(None) | Err(RecvError::OwnerDied { .. }) => break,
                Err(error) => panic!("{error}"),
            }
            expected += 1;
        }
        assert!((least..=least + 1).contains(&expected), "{expected}");
        self.survivor = Some(survivor);
        let exact = Report {
            sent: (self.before..expected).collect(),
            ..Report::default()
        };
        self.successor_goes_on(&exact, expected, 0);
    }
}
