//! Operations in which a ring grows, and somebody dies of those who make it grow or come over.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use partywall::ring::Consumer;
use partywall::{GrowError, RecvError, SendError, WaitStrategy, manage};

use crate::consumers::{durable_gets_the_rest, with_durable};
use crate::victim::{self, Stage, say};
use crate::world::{
    CAPACITY, CHANNEL, Payload, Sleeper, World, committed, consumer_options, producer_options,
};
use crate::{Located, Swept, system};

/// A channel that is removed by force while its owner stands still.
pub(crate) struct Removed(World);

impl Located for Removed {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn meanwhile(&mut self) {
        manage::remove(&self.0.namespace, CHANNEL, true).unwrap();
    }
}

pub(crate) fn removed_operations() -> Vec<Swept<Removed>> {
    vec![Swept {
        name: "grow_while_it_is_removed",
        least_points: 40,
        prepare: || {
            let mut world = World::abandoned(3);
            world.survivor = None;
            Removed(world)
        },
        act: |stage| {
            let mut producer = stage.producer();
            stage.armed();
            let grown = producer.grow(2 * CAPACITY);
            stage.disarmed();
            // Removed before it came so far, or after.
            let taken = |error: &GrowError| {
                matches!(
                    error,
                    GrowError::Owner(SendError::Deleted { .. } | SendError::Superseded { .. })
                )
            };
            if let Err(error) = grown {
                assert!(taken(&error), "{error}");
            }
            producer.abandon();
        },
        check: |Removed(world), _| {
            // A killed one's is there yet.
            let _ = manage::remove(&world.namespace, CHANNEL, true);
            world.nothing_is_left();
        },
    }]
}

pub(crate) fn operations() -> Vec<Swept<World>> {
    vec![
        Swept {
            name: "grow",
            least_points: 150,
            prepare: || {
                let mut world = World::abandoned(3);
                world.survivor = None;
                let sleeper = consumer_options(&world.namespace)
                    .wait(WaitStrategy::Park)
                    .await_successor(true)
                    .durable("sleeper")
                    .attach(CHANNEL)
                    .unwrap();
                world.sleeper = Some(drains(sleeper));
                world
            },
            act: |stage| {
                let mut producer = stage.producer();
                stage.armed();
                stage.send(&mut producer, 24);
                for times in [2, 4] {
                    producer.grow(times * CAPACITY).unwrap();
                    stage.send(&mut producer, 24);
                }
                stage.disarmed();
                producer.abandon();
            },
            check: |mut world, report| {
                let least = committed(world.before, report);
                let mut successor = producer_options(&world.namespace).open(CHANNEL).unwrap();
                let count = successor.records();
                assert!((least..=least + 1).contains(&count), "{count} of {least}");
                assert!(report.points.is_none() || successor.generation() == 3);
                successor.send(&Payload::bytes(count, 24)).unwrap();
                // It grows again, whatever lay about of the one that was not finished.
                let capacity = 2 * successor.capacity();
                successor.grow(capacity).unwrap();
                successor.send(&Payload::bytes(count + 1, 24)).unwrap();
                successor.flush(None).unwrap();
                assert_eq!(world.generations(), [successor.generation()]);
                successor.close().unwrap();
                let sleeper = world.sleeper.take().unwrap();
                sleeper.thread.join().unwrap();
                let first = world.before;
                assert_eq!(
                    *sleeper.got.lock().unwrap(),
                    Vec::from_iter(first..count + 2)
                );
                partywall::manage::forget(&world.namespace, CHANNEL, "sleeper").unwrap();
                world.nothing_is_left();
            },
        },
        Swept {
            name: "move_over",
            least_points: 60,
            prepare: || {
                let mut world = with_durable();
                for times in [2, 4] {
                    world.grow(times * CAPACITY);
                    (0..3).for_each(|_| world.send());
                }
                world
            },
            act: |stage| {
                let options = stage.consumer_options().durable("d");
                let mut consumer = options.attach(CHANNEL).unwrap();
                stage.armed();
                for _ in 0..26 {
                    stage.receive(&mut consumer);
                }
                assert!(consumer.try_recv().unwrap().is_none());
                assert_eq!(consumer.generation(), 3);
                consumer.detach();
                stage.disarmed();
            },
            check: |world, report| {
                let got = report.got.len() as u64;
                assert_eq!(report.got, Vec::from_iter(0..got));
                durable_gets_the_rest(world, 0..=got + 1);
            },
        },
        Swept {
            name: "resume_through_generations",
            least_points: 32,
            prepare: || {
                let mut world = with_durable();
                // The first generation was read to its end, and so was none after it.
                let mut durable = world.durable().attach(CHANNEL).unwrap();
                while durable.try_recv().unwrap().is_some() {}
                durable.detach();
                world.grow(2 * CAPACITY);
                (0..3).for_each(|_| world.send());
                world
            },
            act: |stage| {
                let options = stage.consumer_options().durable("d");
                stage.armed();
                options.attach(CHANNEL).unwrap().detach();
                stage.disarmed();
            },
            check: |world, _| durable_gets_the_rest(world, 20..=20),
        },
        Swept {
            name: "grow_and_move_over_at_once",
            least_points: 120,
            prepare: || World::abandoned(3),
            act: |stage| {
                let mut producer = stage.producer();
                let mut consumer = stage.consumer();
                stage.armed();
                stage.send(&mut producer, 24);
                producer.grow(2 * CAPACITY).unwrap();
                stage.send(&mut producer, 24);
                stage.receive(&mut consumer);
                stage.receive(&mut consumer);
                assert_eq!(consumer.generation(), 2);
                drop(consumer);
                stage.disarmed();
                producer.abandon();
            },
            // Both sides are gone; the survivor has read nothing yet.
            check: |world, report| {
                let before = world.before;
                world.successor_goes_on(report, before - 3, 1);
            },
        },
    ]
}

/// Receives in a thread, until the stream ends.
fn drains(mut consumer: Consumer) -> Sleeper {
    let got = Arc::new(Mutex::new(Vec::new()));
    let mine = Arc::clone(&got);
    let thread = thread::spawn(move || {
        loop {
            match consumer.recv() {
                Ok(record) => mine.lock().unwrap().push(Payload::number(&record)),
                Err(RecvError::Closed { .. }) => return,
                Err(error) => panic!("{error}"),
            }
        }
    });
    Sleeper { got, thread }
}

/// The role of a process that is stopped: it says what it gets.
pub(crate) fn receive_to_the_end(stage: &Stage) {
    let mut consumer = stage.consumer();
    say("attached", 0);
    loop {
        match consumer.recv() {
            Ok(record) => say("got", Payload::number(&record)),
            Err(RecvError::Closed { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A process is stopped while the channel goes through three generations, and misses nothing.
pub(crate) fn stopped_through_three_generations(_full: bool) {
    let mut world = World::producing();
    let mut child = system::this_program();
    let mut child = victim::stage_of(&mut child, "receive_to_the_end", world.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut hear = || said.next().unwrap().unwrap();
    assert_eq!(hear(), "attached 0");
    world.send();
    assert_eq!(hear(), "got 0");
    system::stop(&child);
    for times in [2, 4, 8] {
        (0..50).for_each(|_| world.send());
        world.grow(times * CAPACITY);
    }
    (0..50).for_each(|_| world.send());
    assert_eq!(world.generations(), [1, 2, 3, 4]);
    system::go_on(&child);
    for number in 1..=200 {
        assert_eq!(hear(), format!("got {number}"));
    }
    let mut producer = world.producer.take().unwrap();
    producer.flush(None).unwrap();
    assert_eq!(world.generations(), [4]);
    producer.close().unwrap();
    assert!(child.wait().unwrap().success());
    world.nothing_is_left();
}
