//! Frames on their way to subscribers that stay.

use super::super::explore;
use super::{LOSSY, Pool, RELIABLE, Reader, World, assert_nothing_is_marked, check, create};
use super::{fill, pool, publish, publish_some};
use crate::protocol::frames;

#[test]
fn a_lossy_subscriber_has_whole_frames_and_an_exact_count_of_the_others() {
    explore(4, || {
        let world = World::frames(pool(2, 1, 0), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, LOSSY).unwrap();
        let publishing = loom::thread::spawn(move || {
            publish_some(&mut publisher, 3, 1);
            publisher
        });
        reader.read(2);
        let publisher = publishing.join().unwrap();
        assert_eq!(
            publisher.position(),
            3,
            "a lossy subscriber is in nobody's way"
        );
        reader.drain();
        reader.assert_all_told_to(3);
        assert_nothing_is_marked(&world);
    });
}

/// Somebody holds the first frame, so that it stays where it is while its descriptor is written over.
#[test]
fn a_descriptor_is_not_half_another_ones() {
    explore(4, || {
        let world = World::frames(pool(3, 2, 0), 0);
        let mut publisher = create(&world);
        let mut holder = Reader::attach(&world, world.process(None), 0, LOSSY).unwrap();
        let mut reader = Reader::attach(&world, world.process(None), 1, LOSSY).unwrap();
        assert!(publish(&mut publisher));
        assert!(holder.take());
        publish_some(&mut publisher, 3, 1);
        let publishing = loom::thread::spawn(move || {
            // Four descriptors: this is the first one's.
            assert!(publish(&mut publisher));
        });
        reader.take();
        publishing.join().unwrap();
        reader.drain();
        reader.assert_all_told_to(5);
    });
}

/// Two slots are taken before the first of their frames is published: no fence is between the two.
#[test]
fn a_lap_is_not_taken_for_a_lie() {
    explore(4, || {
        let loans = 2;
        let world = World::frames(
            Pool {
                loans,
                ..pool(3, 1, 0)
            },
            0,
        );
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, LOSSY).unwrap();
        publish_some(&mut publisher, 3, 1);
        let publishing = loom::thread::spawn(move || {
            let (one, other) = (publisher.loan().unwrap(), publisher.loan().unwrap());
            fill(&mut publisher, one);
            // Four descriptors: this is the first one's.
            fill(&mut publisher, other);
        });
        reader.take();
        reader.give_back();
        publishing.join().unwrap();
        reader.drain();
        reader.assert_all_told_to(5);
    });
}

/// The newest frame is kept: a subscriber that comes in time has it.
#[test]
fn what_is_kept_is_not_missed() {
    explore(3, || {
        let world = World::frames(pool(3, 1, 1), 0);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, LOSSY).unwrap();
        publish_some(&mut publisher, 2, 1);
        let publishing = loom::thread::spawn(move || {
            assert!(publish(&mut publisher));
            publisher
        });
        reader.read(2);
        publishing.join().unwrap();
        reader.drain();
        assert_eq!(reader.got.last(), Some(&3));
        reader.assert_all_told_to(3);
    });
}

fn reliable(slots: u32, base: u64) {
    explore(4, move || {
        let world = World::frames(pool(slots, 1, 0), base);
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        let publishing = loom::thread::spawn(move || {
            publish_some(&mut publisher, 3, 2);
            publisher
        });
        reader.read(2);
        let publisher = publishing.join().unwrap();
        reader.drain();
        reader.assert_run_to(publisher.position());
    });
}

#[test]
fn a_reliable_subscriber_has_every_frame() {
    reliable(2, 0);
    reliable(3, 1001);
}

#[test]
fn a_reliable_and_a_lossy_subscriber_are_served_from_one_pool() {
    explore(2, || {
        let world = World::frames(pool(3, 2, 0), 0);
        let mut publisher = create(&world);
        let mut one = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
        let mut other = Reader::attach(&world, world.process(None), 1, LOSSY).unwrap();
        let publishing = loom::thread::spawn(move || {
            publish_some(&mut publisher, 3, 1);
            publisher
        });
        let reading = loom::thread::spawn(move || {
            other.read(2);
            other
        });
        one.read(2);
        let publisher = publishing.join().unwrap();
        let mut other = reading.join().unwrap();
        for reader in [&mut one, &mut other] {
            reader.drain();
        }
        one.assert_run_to(publisher.position());
        other.assert_all_told_to(publisher.position());
    });
}

/// Two frames are held at once and given back in the other order, one by another thread of the process.
#[test]
fn frames_are_given_back_in_any_order_by_any_thread() {
    explore(3, || {
        let world = World::frames(
            Pool {
                held: 2,
                ..pool(3, 1, 0)
            },
            0,
        );
        let mut publisher = create(&world);
        let mut reader = Reader::attach(&world, world.process(None), 0, LOSSY).unwrap();
        publish_some(&mut publisher, 2, 1);
        reader.take();
        reader.take();
        assert_eq!(reader.held.len() as u64 + reader.missed, 2);
        let last = reader.held.pop();
        let process = reader.process.clone();
        let giving = loom::thread::spawn(move || {
            if let Some(frame) = last {
                check(&process, &frame);
                frames::give_back(&process.peers, 0, frame.slot);
            }
        });
        let publishing = loom::thread::spawn(move || {
            publish_some(&mut publisher, 2, 1);
            publisher
        });
        reader.give_back();
        reader.read(1);
        giving.join().unwrap();
        let mut publisher = publishing.join().unwrap();
        reader.drain();
        reader.assert_all_told_to(publisher.position());
        assert_eq!(reader.subscriber.held(), 0);
        // All pins are gone.
        for _ in 0..3 {
            assert!(publish(&mut publisher));
        }
    });
}
