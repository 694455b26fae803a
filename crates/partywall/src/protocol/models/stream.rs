//! Records on their way from a producer to consumers that stay, to the end of the stream.

use loom::sync::atomic::Ordering::{Acquire, Release};

use super::explore;
use super::memory::World;
use super::people::{Producer, Reader, send};
use crate::layout::header::{self, State};
use crate::layout::owner;
use crate::memory::{Shared, SharedMut};
use crate::protocol::cursor::{self, Cursor};

/// A ring with one consumer on seat 0 from the beginning.
fn start(world: &World) -> (Producer, Reader) {
    let process = world.process(None);
    let producer = Producer::create(process.owner, process.peers, world.shape, 0);
    let reader = Reader::attach(world, world.process(None), 0, None).unwrap();
    (producer, reader)
}

/// One producer and one consumer: `lens` are the payloads.
fn lossless(capacity: u64, base: u64, lens: &'static [u64]) {
    explore(5, move || {
        let world = World::new(capacity, 1, base);
        let (mut producer, mut reader) = start(&world);
        let sender = loom::thread::spawn(move || {
            for (kind, &len) in lens.iter().enumerate() {
                if !send(&mut producer, kind as u16, len, 2) {
                    break;
                }
            }
            producer
        });
        reader.read(3);
        let producer = sender.join().unwrap();
        reader.drain();
        reader.assert_run_to(producer.records());
    });
}

#[test]
fn a_full_ring_goes_round() {
    // Three records of 16 bytes fill 32 bytes one and a half times, from any place in the lap.
    lossless(32, 0, &[8, 8, 8]);
    lossless(32, 16, &[8, 8, 8]);
}

#[test]
fn padding_closes_the_end() {
    // 24 bytes do not fit into the 16 at the end.
    lossless(64, 48, &[16, 16, 16]);
}

#[test]
fn positions_go_round_too() {
    lossless(32, 0_u64.wrapping_sub(16), &[8, 8, 8]);
}

#[test]
fn the_slower_of_two_consumers_counts() {
    explore(3, || {
        let world = World::new(32, 2, 0);
        let (mut producer, mut one) = start(&world);
        let mut other = Reader::attach(&world, world.process(None), 1, None).unwrap();
        let sender = loom::thread::spawn(move || {
            for kind in 0..3 {
                if !send(&mut producer, kind, 8, 1) {
                    break;
                }
            }
            producer
        });
        let reading = loom::thread::spawn(move || {
            other.read(2);
            other
        });
        one.read(2);
        let producer = sender.join().unwrap();
        let other = reading.join().unwrap();
        for mut reader in [one, other] {
            reader.drain();
            reader.assert_run_to(producer.records());
        }
    });
}

/// What a consumer that finds nothing does: the state, and if that is CLOSED the header again.
#[test]
fn the_last_record_comes_before_the_end() {
    explore(5, || {
        let world = World::new(64, 1, 0);
        let (mut producer, mut reader) = start(&world);
        let sender = loom::thread::spawn(move || {
            for kind in 0..2 {
                assert!(send(&mut producer, kind, 8, 1));
            }
            let owner = producer.owner();
            owner.store32(header::STATE, State::CLOSED.0, Release);
        });
        for _ in 0..3 {
            if let Some(kind) = reader.next() {
                reader.kinds.push(kind);
                continue;
            }
            let owner = &reader.process.owner;
            let state = State(owner.load32(header::STATE, Acquire));
            if state == State::CLOSED && reader.consumer.peek().unwrap().is_none() {
                assert_eq!(reader.kinds, [0, 1], "the tail is lost");
            }
        }
        sender.join().unwrap();
        reader.drain();
        reader.assert_run_to(2);
    });
}

/// A reader that publishes less often than it reads: all of it must be over when the producer learns of it.
#[test]
fn bytes_are_free_once_their_reader_is_through() {
    explore(4, || {
        let world = World::new(64, 1, 0);
        let (mut producer, mut reader) = start(&world);
        for kind in 0..3 {
            assert!(send(&mut producer, kind, 8, 1));
        }
        let sender = loom::thread::spawn(move || {
            let _ = send(&mut producer, 3, 8, 2) && send(&mut producer, 4, 8, 1);
            producer
        });
        for _ in 0..2 {
            let kind = reader.next().expect("sent before");
            reader.kinds.push(kind);
        }
        reader.consumer.publish();
        let producer = sender.join().unwrap();
        reader.drain();
        reader.assert_run_to(producer.records());
    });
}

/// Somebody reads position and count while the writer goes on.
#[test]
fn a_count_belongs_to_its_position() {
    explore(6, || {
        let world = World::new(64, 1, 0);
        let process = world.process(None);
        let mut cursor = Cursor::begin(&process.owner, owner::WRITE_SEQ, 0, 0);
        let writer = loom::thread::spawn(move || {
            for records in 1..4 {
                cursor.publish(&process.owner, 16 * records, records);
            }
        });
        let process = world.process(None);
        let found = cursor::read(&process.owner, owner::WRITE_SEQ);
        if let Some(records) = found.records {
            assert_eq!(found.position, 16 * records);
        }
        writer.join().unwrap();
    });
}
