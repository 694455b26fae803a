//! A dead consumer's seat goes to the next one: taken over with a count of what was lost, or resumed
//! without a loss.

use loom::sync::atomic::Ordering::Acquire;

use super::kill_everywhere;
use super::memory::{Process, World};
use super::people::{Producer, Reader, send};
use crate::layout::ring;
use crate::layout::seat::{self, SeatState};
use crate::memory::Shared;
use crate::protocol::ring::seats;

/// Records that the seat says were abandoned by its dead holders.
fn abandoned(process: &Process) -> u64 {
    let at = ring::seat_at(0);
    let state = SeatState(process.peers.load(at + seat::STATE, Acquire));
    let count = seat::ABANDONED_0 + 8 * (state.epoch() & 1);
    process.peers.load(at + count, Acquire)
}

fn create(world: &World, discard: bool) -> Producer {
    let process = world.process(None);
    let mut producer = Producer::create(process.owner, process.peers, world.shape, 0);
    producer.set_discard_when_alone(discard);
    producer
}

/// A consumer read one of three records and died. Somebody takes its seat over, is killed there, and the
/// next one takes it over once more, while the producer sends on.
#[test]
fn a_take_over_counts_each_abandoned_record_once() {
    kill_everywhere(3, |stores| {
        let world = World::new(64, 1, 0);
        let mut producer = create(&world, false);
        let mut reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        for kind in 0..3 {
            assert!(send(&mut producer, kind, 8, 1));
        }
        reader.read(1);
        assert_eq!(reader.die(&world), [0]);

        let sender = loom::thread::spawn(move || {
            for kind in 3..5 {
                if !send(&mut producer, kind, 8, 1) {
                    break;
                }
            }
            producer
        });
        let victim = world.process(Some(stores));
        let mut taken = Reader::attach(&world, victim.clone(), 0, None).unwrap();
        taken.read(2);
        let before_death = taken.die(&world);
        let mut last = Reader::attach(&world, world.process(None), 0, None).unwrap();
        last.read(1);
        let mut producer = sender.join().unwrap();
        let kind = producer.records() as u16;
        send(&mut producer, kind, 8, 1);
        last.drain();
        last.assert_run_to(producer.records());
        let process = world.process(None);
        // What was handed out and not yet published when its holder died counts as abandoned, for nobody
        // can know; here that is at most one record.
        let had = 1 + before_death.len() as u64 + last.kinds.len() as u64;
        let sum = had + abandoned(&process);
        assert_eq!(sum, producer.records(), "had {had}");
        victim.dead()
    });
}

/// A durable consumer is away while the producer sends on; it comes back, is killed, and comes back.
fn resume(clean: bool, preemptions: usize) {
    kill_everywhere(preemptions, move |stores| {
        let world = World::new(64, 1, 0);
        // It would discard if it did not count those who are away.
        let mut producer = create(&world, true);
        let name = Some("durable");
        let mut reader = Reader::attach(&world, world.process(None), 0, name).unwrap();
        for kind in 0..2 {
            assert!(send(&mut producer, kind, 8, 1));
        }
        reader.read(1);
        if clean {
            seats::leave(&reader.process.peers, 0, reader.consumer.state(), true);
        }
        assert_eq!(reader.die(&world), [0]);

        let sender = loom::thread::spawn(move || {
            for kind in 2..5 {
                if !send(&mut producer, kind, 8, 1) {
                    break;
                }
            }
            producer
        });
        let victim = world.process(Some(stores));
        let mut resumed = Reader::attach(&world, victim.clone(), 0, name).unwrap();
        assert!(resumed.resumed);
        assert_eq!(resumed.first, 1);
        resumed.read(2);
        if !victim.dead() {
            seats::leave(&victim.peers, 0, resumed.consumer.state(), true);
        }
        let had = 1 + resumed.die(&world).len() as u64;
        let mut last = Reader::attach(&world, world.process(None), 0, name).unwrap();
        assert!(last.resumed);
        assert!(last.first <= had, "{} after {had}", last.first);
        // What it was killed with between reading and publishing comes again, and no more than that.
        assert!(last.first == had || victim.dead());
        last.read(1);
        let mut producer = sender.join().unwrap();
        // Nobody evicts a durable consumer because it is away.
        assert_eq!(producer.evict_dead(&*world.locks, 1), 0);
        let kind = producer.records() as u16;
        send(&mut producer, kind, 8, 1);
        last.drain();
        last.assert_run_to(producer.records());
        victim.dead()
    });
}

#[test]
fn a_durable_consumer_that_left_misses_nothing() {
    resume(true, 3);
}

#[test]
fn a_durable_consumer_that_died_misses_nothing() {
    resume(false, 2);
}
