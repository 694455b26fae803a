//! Seats that are taken, left and evicted while records flow.

use loom::sync::atomic::Ordering::{Acquire, Release, SeqCst};

use super::memory::{Process, World};
use super::people::{Producer, Reader, send};
use super::{explore, kill_everywhere};
use crate::layout::header::{self, State};
use crate::layout::peers;
use crate::layout::seat::{self, Claim, SeatState};
use crate::layout::verdict::{self, Evicted};
use crate::memory::{Shared, SharedMut};
use crate::protocol::cursor;
use crate::protocol::ring::producer::RingProducer;
use crate::protocol::seats;

fn create(world: &World, discard: bool) -> Producer {
    let process = world.process(None);
    let mut producer = Producer::create(process.owner, process.peers, world.shape, 0);
    producer.set_discard_when_alone(discard);
    producer
}

/// Somebody joins a producer that has sent `before` records and sends on.
fn joining(discard: bool, before: u16, after: u16) {
    explore(4, move || {
        let world = World::new(32, 1, 0);
        let mut producer = create(&world, discard);
        for kind in 0..before {
            assert!(send(&mut producer, kind, 8, 1), "nobody is in the way");
        }
        let sender = loom::thread::spawn(move || {
            for kind in before..before + after {
                if !send(&mut producer, kind, 8, 1) {
                    break;
                }
            }
            producer
        });
        let mut reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        reader.read(2);
        let mut producer = sender.join().unwrap();
        // One more, to see that the seat counts.
        let kind = producer.records() as u16;
        send(&mut producer, kind, 8, 1);
        reader.drain();
        reader.assert_run_to(producer.records());
    });
}

#[test]
fn a_joiner_sees_an_unbroken_run_where_records_are_discarded() {
    joining(true, 0, 2);
    // A lap later, valid headers of the lap before stand everywhere.
    joining(true, 2, 3);
}

#[test]
fn a_joiner_misses_nothing_where_the_producer_waits() {
    joining(false, 0, 2);
}

#[test]
fn a_joiner_is_found_by_who_retires_or_turned_away() {
    explore(4, || {
        let world = World::new(32, 1, 0);
        let producer = create(&world, true);
        let remover = loom::thread::spawn(move || {
            let owner = producer.owner();
            owner.store32(header::STATE, State::RETIRED.0, Release);
            owner.fence(SeqCst);
            let at = peers::seat_at(0) + seat::STATE;
            SeatState(producer.peers().load(at, Acquire)).claim() != Some(Claim::Free)
        });
        let process = world.process(None);
        let joined = Reader::attach(&world, process.clone(), 0, None).is_some();
        let found = remover.join().unwrap();
        assert!(!joined || found, "it sits where nobody will look");
        if !joined {
            let at = peers::seat_at(0) + seat::STATE;
            let state = SeatState(process.peers.load(at, Acquire));
            assert_eq!(state.claim(), Some(Claim::Free));
        }
    });
}

/// Records that the owner says were lost with dead holders of a seat.
fn lost(process: &Process, seat: u32) -> u64 {
    let at = verdict::at(seat);
    let word = Evicted(process.owner.load(at + verdict::EVICTED, Acquire));
    let count = [verdict::LOST_0, verdict::LOST_1][word.selector() as usize];
    process.owner.load(at + count, Acquire)
}

fn published(process: &Process, seat: u32) -> u64 {
    let at = peers::seat_at(seat) + seat::READ_SEQ;
    cursor::read(&process.peers, at).records.unwrap()
}

/// Evicts the holder of seat 0 if it is dead, and compares what it left unread with what was counted.
fn evict(producer: &mut Producer, world: &World) {
    let process = world.process(None);
    let before = lost(&process, 0);
    if producer.evict_dead(&*world.locks, 1) == 0 {
        return;
    }
    let at = peers::seat_at(0) + seat::STATE;
    let unread = match SeatState(process.peers.load(at, Acquire)).claim() {
        // It had no position yet.
        Some(Claim::Joining) => 0,
        _ => producer.records() - published(&process, 0),
    };
    assert_eq!(lost(&process, 0), before + unread);
}

#[test]
fn what_the_dead_left_unread_is_counted_exactly() {
    kill_everywhere(3, |stores| {
        let world = World::new(32, 2, 0);
        let mut producer = create(&world, true);
        let victim = world.process(Some(stores));
        // Whatever it comes to: its lock is free when it is dead.
        let victim_world = world.clone();
        let dying = loom::thread::spawn(move || {
            let process = victim.clone();
            if let Some(mut reader) = Reader::attach(&victim_world, process, 0, None) {
                reader.read(1);
                reader.die(&victim_world);
            }
            victim.dead()
        });
        let joiner_world = world.clone();
        let joining = loom::thread::spawn(move || {
            let process = joiner_world.process(None);
            let mut reader = Reader::attach(&joiner_world, process, 1, None).unwrap();
            reader.read(1);
            reader
        });
        send(&mut producer, 0, 8, 1);
        evict(&mut producer, &world);
        let kind = producer.records() as u16;
        send(&mut producer, kind, 8, 1);
        evict(&mut producer, &world);
        let killed = dying.join().unwrap();
        let mut reader = joining.join().unwrap();
        evict(&mut producer, &world);
        reader.drain();
        reader.assert_run_to(producer.records());
        killed
    });
}

/// A dead consumer with three records unread; the owner is killed while it evicts it.
#[test]
fn an_eviction_is_counted_once_whenever_the_owner_dies() {
    kill_everywhere(3, |stores| {
        let world = World::new(128, 1, 0);
        let mut founder = create(&world, false);
        let mut reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        for kind in 0..3 {
            assert!(send(&mut founder, kind, 8, 1));
        }
        reader.read(1);
        reader.die(&world);
        let victim = world.process(Some(stores));
        let handles = (victim.owner.clone(), victim.peers.clone());
        let mut owner = RingProducer::adopt(handles.0, handles.1, world.shape).unwrap();
        owner.evict_dead(&*world.locks, 1);
        let process = world.process(None);
        let handles = (process.owner.clone(), process.peers.clone());
        let mut owner = RingProducer::adopt(handles.0, handles.1, world.shape).unwrap();
        owner.evict_dead(&*world.locks, 1);
        assert_eq!(lost(&process, 0), 2);

        // The next one to die on that seat adds to it.
        let reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        assert!(send(&mut owner, 3, 8, 1));
        reader.die(&world);
        owner.evict_dead(&*world.locks, 1);
        assert_eq!(lost(&process, 0), 3);
        victim.dead()
    });
}

/// Somebody takes the seat of a dead consumer over, or joins it afresh, and is killed; meanwhile, and
/// afterwards, the owner evicts.
#[test]
fn eviction_and_take_over_count_a_record_once() {
    kill_everywhere(4, |stores| {
        let world = World::new(128, 1, 0);
        let mut producer = create(&world, false);
        let reader = Reader::attach(&world, world.process(None), 0, None).unwrap();
        for kind in 0..2 {
            assert!(send(&mut producer, kind, 8, 1));
        }
        reader.die(&world);
        let victim = world.process(Some(stores));
        let other = (world.clone(), victim.clone());
        let taking_over = loom::thread::spawn(move || {
            let (world, process) = other;
            if let Some(reader) = Reader::attach(&world, process.clone(), 0, None) {
                assert_eq!(reader.first, 2);
                seats::leave(&process.peers, 0, reader.consumer.state(), false);
                reader.die(&world);
            }
        });
        producer.evict_dead(&*world.locks, 1);
        taking_over.join().unwrap();
        producer.evict_dead(&*world.locks, 1);
        let process = world.process(None);
        let at = peers::seat_at(0);
        let state = SeatState(process.peers.load(at + seat::STATE, Acquire));
        let count = seat::ABANDONED_0 + 8 * (state.epoch() & 1);
        let abandoned = process.peers.load(at + count, Acquire);
        assert_eq!(abandoned + lost(&process, 0), 2);
        victim.dead()
    });
}
