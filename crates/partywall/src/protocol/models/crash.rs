//! A producer that is killed before any of its stores, and its successor.

use super::kill_everywhere;
use super::memory::World;
use super::people::{Producer, Reader, push, send, send_shorter};
use crate::protocol::buffer::Pending;
use crate::protocol::ring::producer::RingProducer;

/// Marks the records of the successor, so that nobody takes one for its predecessor's.
const SUCCESSOR: u16 = 0x100;

/// `first` is what the victim does, with the kinds 0, 1, ...; the successor sends two more records of
/// `then` bytes while the consumer may still be at the victim's.
fn adoption(
    capacity: u64,
    base: u64,
    then: u64,
    first: impl Fn(&mut Producer) + Send + Sync + 'static,
) {
    kill_everywhere(4, move |stores| {
        let world = World::new(capacity, 1, base);
        let founder = world.process(None);
        drop(Producer::create(
            founder.owner,
            founder.peers,
            world.shape,
            0,
        ));
        let mut reader = Reader::attach(&world, world.process(None), 0, None).unwrap();

        let reading = loom::thread::spawn(move || {
            reader.read(4);
            reader
        });
        let victim = world.process(Some(stores));
        let mut producer =
            RingProducer::adopt(victim.owner.clone(), victim.peers.clone(), world.shape).unwrap();
        first(&mut producer);
        drop(producer);
        let successor = world.process(None);
        let mut producer =
            RingProducer::adopt(successor.owner, successor.peers, world.shape).unwrap();
        let found = producer.records();
        let sent = (0..2)
            .take_while(|&kind| send(&mut producer, SUCCESSOR + kind, then, 1))
            .count() as u16;

        let mut reader = reading.join().unwrap();
        reader.drain();
        // What was committed arrives once and in order, whoever committed it; the counts are exact.
        let expected: Vec<u16> = (0..found as u16)
            .chain((0..sent).map(|kind| SUCCESSOR + kind))
            .collect();
        assert_eq!(reader.kinds, expected);
        assert_eq!(producer.records(), found + u64::from(sent));
        assert_eq!(reader.consumer.records(), producer.records());
        victim.dead()
    });
}

#[test]
fn a_successor_goes_on_behind_the_last_commit() {
    adoption(32, 0, 8, |producer| {
        let _ = send(producer, 0, 8, 1) && send(producer, 1, 8, 1);
    });
}

#[test]
fn a_successor_finds_padding() {
    adoption(64, 40, 8, |producer| {
        let _ = send(producer, 0, 8, 1) && send(producer, 1, 8, 1);
    });
}

#[test]
fn a_batch_arrives_whole_or_not_at_all() {
    adoption(64, 40, 8, |producer| {
        producer.scan();
        let mut pending = Pending::default();
        let pushed = (0..2)
            .take_while(|&kind| push(producer, &mut pending, kind, 8))
            .count() as u64;
        assert_eq!(producer.commit_pending(&mut pending), pushed);
    });
}

#[test]
fn a_shorter_commit_leaves_no_rest() {
    adoption(64, 0, 8, |producer| {
        let _ = send_shorter(producer, 0, 24, 8, 1) && send_shorter(producer, 1, 24, 0, 1);
    });
}
