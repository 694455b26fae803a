//! Records on their way from a producer to consumers that stay.

use super::explore;
use super::memory::World;
use super::people::{Producer, Reader, send};

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
