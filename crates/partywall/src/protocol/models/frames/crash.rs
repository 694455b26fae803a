//! A publisher that is killed before any of its stores, and its successor.

use super::super::kill_everywhere;
use super::{LOSSY, RELIABLE, Reader, Wish, World, adopt, create, pool, publish, publish_some};

/// The victim publishes while a subscriber reads; then its successor does. When everything was read the pool is
/// whole: as many frames can be published as it has slots beside the history.
fn adoption(slots: u32, history: u32, wish: Wish, preemptions: usize) {
    kill_everywhere(preemptions, move |stores| {
        let world = World::frames(pool(slots, 1, history), 0);
        drop(create(&world));
        let mut reader = Reader::attach(&world, world.process(None), 0, wish).unwrap();
        let reading = loom::thread::spawn(move || {
            reader.read(2);
            reader
        });
        let victim = world.process(Some(stores));
        publish_some(&mut adopt(&world, victim.clone()), 2, 1);
        let mut publisher = adopt(&world, world.process(None));
        publish(&mut publisher);
        let mut reader = reading.join().unwrap();
        reader.drain();
        for _ in 0..slots - history {
            assert!(publish(&mut publisher), "a slot is lost");
        }
        reader.drain();
        if wish.lossy {
            reader.assert_all_told_to(publisher.position());
        } else {
            reader.assert_run_to(publisher.position());
        }
        victim.dead()
    });
}

#[test]
fn a_successor_serves_a_reliable_subscriber() {
    adoption(2, 0, RELIABLE, 3);
}

#[test]
fn a_successor_serves_a_lossy_subscriber() {
    adoption(2, 0, LOSSY, 3);
}

#[test]
fn a_successor_keeps_what_is_kept() {
    adoption(3, 1, LOSSY, 2);
}

/// The victim has published two frames and dies at the next ones, while somebody joins.
#[test]
fn a_joiner_keeps_its_frames_over_the_publishers_death() {
    kill_everywhere(3, |stores| {
        let world = World::frames(pool(2, 1, 0), 0);
        drop(create(&world));
        let victim = world.process(Some(stores));
        let mut publisher = adopt(&world, victim.clone());
        publish(&mut publisher);
        let joiner = world.clone();
        let reading = loom::thread::spawn(move || {
            let mut reader = Reader::attach(&joiner, joiner.process(None), 0, RELIABLE).unwrap();
            reader.take();
            reader
        });
        publish_some(&mut publisher, 2, 1);
        let mut publisher = adopt(&world, world.process(None));
        publish(&mut publisher);
        let mut reader = reading.join().unwrap();
        reader.drain();
        reader.assert_run_to(publisher.position());
        victim.dead()
    });
}

/// The successor is killed too, wherever it stands, and so on.
#[test]
fn two_dead_publishers_are_no_worse_than_one() {
    for first in 0..20 {
        kill_everywhere(1, move |second| {
            let world = World::frames(pool(2, 1, 0), 0);
            drop(create(&world));
            let mut reader = Reader::attach(&world, world.process(None), 0, RELIABLE).unwrap();
            let mut killed = false;
            for stores in [first, second] {
                let victim = world.process(Some(stores));
                publish_some(&mut adopt(&world, victim.clone()), 2, 1);
                reader.drain();
                killed = victim.dead();
            }
            let mut publisher = adopt(&world, world.process(None));
            for _ in 0..2 {
                assert!(publish(&mut publisher), "a slot is lost");
            }
            reader.drain();
            reader.assert_run_to(publisher.position());
            killed
        });
    }
}
