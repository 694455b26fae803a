//! Operations in which a consumer is the victim.

use partywall::ring::{Consumer, Delivery};
use partywall::{ManageError, OpenError, RecvError, WaitStrategy, manage};

use crate::victim::{Fault, Stage, run};
use crate::world::{CHANNEL, World, receive};
use crate::{Located, Swept};

pub(crate) fn operations() -> Vec<Swept<World>> {
    vec![
        // No operation by itself: what others need who must find a dead consumer.
        Swept {
            name: "sit_down_and_vanish",
            least_points: 0,
            prepare: World::producing,
            act: |stage| {
                let consumer = stage.consumer();
                stage.armed();
                stage.disarmed();
                // No destructor runs: the kernel frees the lock, the seat stays as it is.
                let _ = std::mem::ManuallyDrop::new(consumer);
                std::process::exit(0);
            },
            check: |_, _| {},
        },
        Swept {
            name: "join_and_detach",
            least_points: 22,
            prepare: with_survivor,
            act: |stage| {
                stage.armed();
                stage.consumer().detach();
                stage.disarmed();
            },
            check: |world, _| world.producer_goes_on(0),
        },
        Swept {
            name: "take_over_a_dead_seat",
            least_points: 23,
            prepare: || {
                let mut world = World::producing();
                run("sit_down_and_vanish", world.path(), Fault::None);
                world.survivor = Some(world.consumer());
                for _ in 0..5 {
                    world.send();
                }
                world
            },
            act: |stage| {
                stage.armed();
                stage.consumer().detach();
                stage.disarmed();
            },
            check: |mut world, _| {
                let mut newcomer = world.consumer();
                world.send();
                assert_eq!(receive(&mut newcomer), 5);
                let lost = world.lost_at(newcomer.seat());
                assert_eq!(lost, 5, "what the dead one left unread is counted once");
                drop(newcomer);
                world.producer_goes_on(0);
            },
        },
        Swept {
            name: "join_durably",
            least_points: 25,
            prepare: with_survivor,
            act: |stage| {
                stage.armed();
                stage
                    .consumer_options()
                    .durable("d")
                    .attach(CHANNEL)
                    .unwrap()
                    .detach();
                stage.disarmed();
            },
            check: |mut world, report| {
                // If it ever was there, it gets what came after; if not, it comes now.
                world.send();
                let mut durable = world.durable().attach(CHANNEL).unwrap();
                if report.points.is_some() {
                    assert!(durable.resumed());
                    assert_eq!(receive(&mut durable), 3);
                }
                while durable.try_recv().unwrap().is_some() {}
                durable.detach();
                manage::forget(&world.namespace, CHANNEL, "d").unwrap();
                world.producer_goes_on(0);
            },
        },
        Swept {
            name: "resume_and_detach",
            least_points: 19,
            prepare: with_durable,
            act: |stage| {
                stage.armed();
                stage
                    .consumer_options()
                    .durable("d")
                    .attach(CHANNEL)
                    .unwrap()
                    .detach();
                stage.disarmed();
            },
            check: |world, _| durable_gets_the_rest(world, 0..=0),
        },
        Swept {
            name: "receive_and_publish",
            least_points: 10,
            prepare: with_durable,
            act: |stage| {
                let options = stage.consumer_options().durable("d");
                receive_all(stage, options.attach(CHANNEL).unwrap());
            },
            check: |world, report| {
                // Again, perhaps, but none is missed: those before the first had been asked past.
                let got = report.got.len() as u64;
                assert_eq!(report.got, Vec::from_iter(0..got));
                durable_gets_the_rest(world, 0..=got);
            },
        },
        Swept {
            name: "receive_at_most_once",
            least_points: 64,
            prepare: with_durable,
            act: |stage| {
                let options = stage.consumer_options().durable("d");
                let options = options.delivery(Delivery::AtMostOnce);
                receive_all(stage, options.attach(CHANNEL).unwrap());
            },
            check: |world, report| {
                let got = report.got.len() as u64;
                assert_eq!(report.got, Vec::from_iter(0..got));
                // The one in flight may be missed; none comes twice.
                durable_gets_the_rest(world, got..=got + 1);
            },
        },
        Swept {
            name: "receive_through_the_end",
            least_points: 10,
            prepare: || {
                let mut world = World::producing();
                let mut survivor = world.consumer();
                for number in 0..120 {
                    world.send();
                    assert_eq!(receive(&mut survivor), number);
                }
                assert!(survivor.try_recv().unwrap().is_none());
                world.durable().attach(CHANNEL).unwrap().detach();
                for _ in 0..20 {
                    world.send();
                }
                world.survivor = Some(survivor);
                world.before = 120;
                world
            },
            act: |stage| {
                let options = stage.consumer_options().durable("d");
                receive_all(stage, options.attach(CHANNEL).unwrap());
            },
            check: |world, report| {
                let got = report.got.len() as u64;
                assert_eq!(report.got, Vec::from_iter(120..120 + got));
                durable_gets_the_rest(world, 120..=120 + got);
            },
        },
        Swept {
            name: "wait_for_a_record",
            least_points: 5,
            prepare: with_durable,
            act: |stage| {
                let options = stage.consumer_options().durable("d");
                let mut durable = options.wait(WaitStrategy::Park).attach(CHANNEL).unwrap();
                for _ in 0..20 {
                    stage.receive(&mut durable);
                }
                stage.armed();
                let waited = durable.recv_timeout(std::time::Duration::from_millis(3));
                assert!(matches!(waited, Err(RecvError::TimedOut { .. })));
                stage.disarmed();
            },
            check: |world, _| durable_gets_the_rest(world, 0..=20),
        },
        Swept {
            name: "move_to_the_next_generation",
            least_points: 35,
            prepare: || {
                let mut world = World::producing();
                let mut durable = world.durable().attach(CHANNEL).unwrap();
                world.send();
                assert_eq!(receive(&mut durable), 0);
                durable.detach();
                world.producer.take().unwrap().close().unwrap();
                let options = crate::world::producer_options(&world.namespace);
                world.producer = Some(options.open(CHANNEL).unwrap());
                world.survivor = Some(world.consumer());
                for _ in 0..20 {
                    world.send();
                }
                world.before = 1;
                world
            },
            act: |stage| {
                stage.armed();
                let options = stage.consumer_options().durable("d");
                let mut durable = options.attach(CHANNEL).unwrap();
                for _ in 0..5 {
                    stage.receive(&mut durable);
                }
                drop(durable);
                stage.disarmed();
            },
            check: |world, report| {
                let got = report.got.len() as u64;
                assert_eq!(report.got, Vec::from_iter(1..=got));
                durable_gets_the_rest(world, 1..=got + 1);
            },
        },
        Swept {
            name: "last_consumer_of_a_closed_channel",
            least_points: 29,
            prepare: World::empty,
            act: |stage| {
                let producer = stage.producer();
                let consumer = stage.consumer();
                producer.close().unwrap();
                stage.armed();
                drop(consumer);
                stage.disarmed();
            },
            check: |world, report| {
                if report.points.is_some() {
                    world.nothing_is_left();
                }
                world.clean_removes_the_rest();
            },
        },
        Swept {
            name: "forget",
            least_points: 31,
            prepare: || {
                let mut world = with_durable();
                world.survivor = None;
                world.producer.take().unwrap().close().unwrap();
                world
            },
            act: |stage| {
                stage.armed();
                manage::forget(&stage.namespace, CHANNEL, "d").unwrap();
                stage.disarmed();
            },
            check: |world, _| {
                match manage::forget(&world.namespace, CHANNEL, "d") {
                    Ok(())
                    | Err(ManageError::NoSuchConsumer { .. })
                    | Err(ManageError::Open(OpenError::Missing { .. })) => {}
                    Err(other) => panic!("{other}"),
                }
                world.clean_removes_the_rest();
            },
        },
    ]
}

fn receive_all(stage: &Stage, mut consumer: Consumer) {
    stage.armed();
    for _ in 0..20 {
        stage.receive(&mut consumer);
    }
    // Idle: now all of it counts as processed.
    assert!(consumer.try_recv().unwrap().is_none());
    drop(consumer);
    stage.disarmed();
}

/// A producer, and a consumer that has three records to read.
fn with_survivor() -> World {
    let mut world = World::producing();
    world.survivor = Some(world.consumer());
    for _ in 0..3 {
        world.send();
    }
    world
}

/// A producer, and two consumers that have twenty records to read; the durable one is away.
pub(crate) fn with_durable() -> World {
    let mut world = World::producing();
    world.survivor = Some(world.consumer());
    world.durable().attach(CHANNEL).unwrap().detach();
    for _ in 0..20 {
        world.send();
    }
    world
}

/// The durable consumer comes back and gets everything up to the newest record, beginning within `first`.
pub(crate) fn durable_gets_the_rest(mut world: World, first: std::ops::RangeInclusive<u64>) {
    world.send();
    let mut durable = world.durable().attach(CHANNEL).unwrap();
    assert!(durable.resumed());
    let begin = receive(&mut durable);
    assert!(
        first.contains(&begin),
        "begins at {begin}, not in {first:?}"
    );
    let newest = world.producer.as_ref().unwrap().records();
    for number in begin + 1..newest {
        assert_eq!(receive(&mut durable), number);
    }
    assert!(durable.try_recv().unwrap().is_none());
    durable.detach();
    manage::forget(&world.namespace, CHANNEL, "d").unwrap();
    let first = world.before;
    world.producer_goes_on(first);
}
