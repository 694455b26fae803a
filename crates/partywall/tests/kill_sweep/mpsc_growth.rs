//! Mpsc channels that grow: the receiver that grows, one that receives through a growth, a sender that comes over, and
//! one that takes a dead one's seat over meanwhile are the victims.

use partywall::Namespace;

use crate::Swept;
use crate::account::End;
use crate::mpsc::{LaneWorld, receive, receiver_options, send, send_and_say, sender_options};
use crate::world::CHANNEL;

/// A receiver grows, and leaves the channel as a death would.
fn grow_and_abandon(namespace: &Namespace) {
    let mut receiver = receiver_options(namespace).open(CHANNEL).unwrap();
    receiver.grow(8192).unwrap();
    receiver.abandon();
}

/// The other sender sends on, and comes over.
fn come_over(world: &mut LaneWorld, records: u64) {
    let mut other = world.other.take().unwrap();
    for _ in 0..records {
        send(&mut other, 24);
    }
    assert_eq!(other.generation(), 2);
    let id = other.id();
    for (sender, sent) in &mut world.expected {
        if *sender == id {
            sent.records += records;
        }
    }
    world.other = Some(other);
}

pub(crate) fn operations() -> impl Iterator<Item = Swept<LaneWorld>> {
    [
        Swept {
            name: "mpsc_grow",
            least_points: 90,
            prepare: || LaneWorld::abandoned(3),
            act: |stage| {
                let mut receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                receive(&mut receiver, 5);
                stage.armed();
                receiver.grow(8192).unwrap();
                receive(&mut receiver, 6);
                receiver.abandon();
                stage.disarmed();
            },
            check: LaneWorld::receiver_died,
        },
        Swept {
            name: "mpsc_receive_through_a_growth",
            least_points: 52,
            prepare: || {
                let mut world = LaneWorld::abandoned(3);
                grow_and_abandon(world.namespace());
                come_over(&mut world, 3);
                world
            },
            act: |stage| {
                stage.armed();
                let mut receiver = receiver_options(&stage.namespace).open(CHANNEL).unwrap();
                // Three of the dead one with its end, of the one that left, and of the one that came over.
                receive(&mut receiver, 5 + 5 + 7);
                receiver.acknowledge();
                receiver.abandon();
                stage.disarmed();
            },
            check: LaneWorld::receiver_died,
        },
        Swept {
            name: "mpsc_come_over",
            least_points: 38,
            prepare: || {
                let mut world = LaneWorld::empty();
                let receiver = receiver_options(world.namespace()).open(CHANNEL).unwrap();
                receiver.abandon();
                world.other = Some(world.sender());
                world
            },
            act: |stage| {
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                for len in [8, 100] {
                    send_and_say(&mut sender, len);
                }
                grow_and_abandon(&stage.namespace);
                stage.armed();
                for len in [8, 100] {
                    send_and_say(&mut sender, len);
                }
                sender.close().unwrap();
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 1),
        },
        Swept {
            name: "mpsc_take_over_a_dead_seat_in_a_growth",
            least_points: 49,
            prepare: || {
                let mut world = LaneWorld::empty();
                let receiver = receiver_options(world.namespace()).open(CHANNEL).unwrap();
                receiver.abandon();
                let mut other = world.sender();
                send(&mut other, 24);
                world.expect(other.id(), 1, End::Open);
                world.other = Some(other);
                world.dead_sender(5);
                grow_and_abandon(world.namespace());
                world
            },
            act: |stage| {
                stage.armed();
                let mut sender = sender_options(&stage.namespace).attach(CHANNEL).unwrap();
                for len in [8, 100] {
                    send_and_say(&mut sender, len);
                }
                drop(sender);
                stage.disarmed();
            },
            check: |world, report| world.sender_died(report, 1),
        },
    ]
    .into_iter()
}
