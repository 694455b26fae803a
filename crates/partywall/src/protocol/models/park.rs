//! Nobody sleeps for ever. There are no time-outs here: a lost wake-up is a deadlock, and loom tells.

use super::explore;
use super::memory::World;
use super::people::{Producer, Reader, send};
use crate::layout::owner;
use crate::protocol::park;

fn create(world: &World) -> Producer {
    let process = world.process(None);
    Producer::create(process.owner, process.peers, world.shape, 0)
}

fn announce(producer: &Producer) {
    let seats = producer.shape().seats;
    if park::sleepers(producer.owner(), producer.peers(), seats) != 0 {
        park::ring_for_peers(producer.owner());
    }
}

/// Sleeps until the next record is there; its kind.
fn receive(reader: &mut Reader) -> u16 {
    loop {
        if let Some(kind) = reader.next() {
            return kind;
        }
        let process = reader.process.clone();
        let seat = reader.consumer.seat();
        let consumer = &mut reader.consumer;
        park::park_peer(
            &process.owner,
            &process.peers,
            seat,
            || consumer.peek().unwrap().is_some(),
            |bell| process.owner.sleep(&[(owner::OWNER_BELL, bell)]),
        );
    }
}

/// Sleeps until there is room, as the public producer does.
fn send_parked(producer: &mut Producer, kind: u16, len: u64) {
    while !send(producer, kind, len, 0) {
        let scan = producer.scan();
        let (owner, peers) = (producer.owner().clone(), producer.peers().clone());
        let holding = (0..producer.shape().seats).filter(|seat| scan.holding >> seat & 1 != 0);
        park::park_owner(
            &owner,
            &peers,
            holding,
            || {
                producer.scan();
                producer.claim(len).is_some()
            },
            |bells| peers.sleep(bells),
        );
    }
}

#[test]
fn a_consumer_is_woken_by_a_commit() {
    explore(4, || {
        let world = World::new(64, 1, 0);
        let mut producer = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        let sender = loom::thread::spawn(move || {
            for kind in 0..2 {
                assert!(send(&mut producer, kind, 8, 1), "there is room for two");
                announce(&producer);
            }
        });
        assert_eq!(receive(&mut reader), 0);
        assert_eq!(receive(&mut reader), 1);
        sender.join().unwrap();
    });
}

#[test]
fn both_consumers_are_woken_by_one_ring() {
    explore(3, || {
        let world = World::new(64, 2, 0);
        let mut producer = create(&world);
        let attach = |seat| Reader::attach(&world, world.process(None), seat, None).unwrap();
        let (mut one, mut other) = (attach(0), attach(1));
        let reading = loom::thread::spawn(move || receive(&mut other));
        let sender = loom::thread::spawn(move || {
            assert!(send(&mut producer, 0, 8, 1));
            announce(&producer);
        });
        assert_eq!(receive(&mut one), 0);
        assert_eq!(reading.join().unwrap(), 0);
        sender.join().unwrap();
    });
}

#[test]
fn the_producer_is_woken_by_a_publication() {
    explore(4, || {
        let world = World::new(32, 1, 0);
        let mut producer = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        assert!(send(&mut producer, 0, 8, 1));
        let reading = loom::thread::spawn(move || {
            assert_eq!(reader.next(), Some(0));
            reader.consumer.publish();
            let process = &reader.process;
            park::wake_owner(&process.owner, &process.peers, 0);
            reader
        });
        // The ring has no room for it yet: eight bytes are missing.
        send_parked(&mut producer, 1, 8);
        let mut reader = reading.join().unwrap();
        assert_eq!(reader.next(), Some(1));
    });
}
