//! A dead consumer's seat goes to the next one: taken over with a count of what was lost, or resumed
//! without a loss.

use loom::sync::atomic::Ordering::Acquire;

use super::memory::{Process, World};
use super::people::{Producer, Reader, send};
use super::{explore, kill_everywhere};
use crate::layout::peers;
use crate::layout::seat::{self, SeatState};
use crate::memory::Shared;
use crate::protocol::seats;

/// Records that the seat says were abandoned by its dead holders.
fn abandoned(process: &Process) -> u64 {
    let at = peers::seat_at(0);
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

/// Two takers in a row are killed, each before any of its stores. `names` are theirs and their successor's:
/// a durable consumer takes the seat over from one that is not, and from then on resumes.
fn two_killed_takers(names: [Option<&'static str>; 3]) {
    for first in 0..20 {
        kill_everywhere(1, move |second| {
            let world = World::new(128, 1, 0);
            let mut producer = create(&world, false);
            let reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
            reader.die(&world);
            let mut killed = false;
            for (kind, stores) in [first, second].into_iter().enumerate() {
                assert!(send(&mut producer, kind as u16, 8, 1));
                let victim = world.process(Some(stores));
                let reader = Reader::attach(&world, victim.clone(), 0, names[kind]).unwrap();
                reader.die(&world);
                killed = victim.dead();
            }
            let mut last = Reader::attach(&world, world.process(None), 0, names[2]).unwrap();
            // Nobody has read anything.
            assert_eq!(abandoned(&last.process), last.first);
            assert!(last.resumed || last.first == 2);
            last.drain();
            last.assert_run_to(2);
            killed
        });
    }
}

#[test]
fn two_killed_takers_count_as_well_as_one() {
    let name = Some("durable");
    two_killed_takers([None, None, None]);
    two_killed_takers([None, name, name]);
    two_killed_takers([name, name, name]);
}

/// A durable consumer stands past `write_seq`, because it was faster than the producer between header and
/// `write_seq`, and dies there; while its successor looks, the producer goes on and round.
#[test]
fn who_stands_past_write_seq_resumes_there() {
    explore(4, || {
        let world = World::new(32, 1, 0);
        let mut producer = create(&world, true);
        let name = Some("durable");
        let mut reader = Reader::attach(&world, world.process(None), 0, name).unwrap();
        let sender = loom::thread::spawn(move || {
            for kind in 0..3 {
                if !send(&mut producer, kind, 8, 1) {
                    break;
                }
            }
            producer
        });
        reader.read(1);
        let had = reader.die(&world).len() as u64;
        let mut last = Reader::attach(&world, world.process(None), 0, name).unwrap();
        assert!(last.resumed);
        assert_eq!(last.first, had);
        let producer = sender.join().unwrap();
        last.drain();
        last.assert_run_to(producer.records());
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

        let locks = std::rc::Rc::clone(&world.locks);
        let sender = loom::thread::spawn(move || {
            // Nobody evicts a durable consumer because it is away.
            assert_eq!(producer.evict_dead(&*locks, 1), 0);
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
