//! Nobody sleeps for ever, for a frame or for a slot. There are no time-outs here: a lost wake-up is a deadlock, and
//! loom tells.

use super::super::explore;
use super::{Publisher, RELIABLE, Reader, World, create, fill, pool, publish};
use crate::layout::owner;
use crate::protocol::park;

/// Sleeps until a slot is free, as the public publisher does.
fn publish_parked(publisher: &mut Publisher) {
    let mut loan = publisher.loan();
    while let Err(busy) = &loan {
        let (owner, peers) = (publisher.owner().clone(), publisher.peers().clone());
        let seats = busy.seats();
        assert_ne!(seats, 0, "somebody must be in the way");
        let holding = (0..publisher.shape().pool.seats).filter(|seat| seats >> seat & 1 != 0);
        let mut found = None;
        park::park_owner(
            &owner,
            &peers,
            holding,
            || {
                found = publisher.loan().ok();
                found.is_some()
            },
            |bells| peers.sleep(bells),
        );
        loan = match found {
            Some(found) => Ok(found),
            None => publisher.loan(),
        };
    }
    fill(publisher, loan.unwrap());
}

/// Both slots are in use: one by a pin, the other by a frame that the subscriber has not come to.
#[test]
fn a_publisher_is_woken_by_a_frame_that_is_given_back() {
    explore(4, || {
        let world = World::frames(pool(2, 1, 0), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        assert!(publish(&mut publisher));
        assert!(reader.take());
        assert!(publish(&mut publisher));
        let reading = loom::thread::spawn(move || {
            reader.give_back();
            park::wake_owner(&reader.process.owner, &reader.process.peers, 0);
            reader
        });
        publish_parked(&mut publisher);
        let mut reader = reading.join().unwrap();
        reader.drain();
        reader.assert_run_to(3);
    });
}

#[test]
fn a_subscriber_is_woken_by_a_frame() {
    explore(4, || {
        let world = World::frames(pool(2, 1, 0), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        let publishing = loom::thread::spawn(move || {
            assert!(publish(&mut publisher));
            if park::sleepers(publisher.owner(), publisher.peers(), 1) != 0 {
                park::ring_for_peers(publisher.owner());
            }
        });
        while !reader.take() {
            let (process, subscriber) = (reader.process.clone(), &reader.subscriber);
            park::park_peer(
                &process.owner,
                &process.peers,
                0,
                || subscriber.has_news(),
                |bell| process.owner.sleep(&[(owner::OWNER_BELL, bell)]),
            );
        }
        publishing.join().unwrap();
        reader.assert_run_to(1);
    });
}
