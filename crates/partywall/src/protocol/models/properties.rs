//! One thread, plain memory, and random everything: sizes, capacities, positions, and words that no honest
//! peer writes.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::layout::{owner, peers, record, ring, seat, verdict};
use proptest::prelude::*;

use super::plain::{NoLocks, Plain};
use crate::layout::header::{self, State};
use crate::memory::{Shared, SharedMut};
use crate::protocol::ring::consumer::RingConsumer;
use crate::protocol::ring::producer::RingProducer;
use crate::protocol::ring::{Shape, seats, walk};

fn segments(shape: Shape) -> (Plain, Plain) {
    let owner = Plain::new(ring::PAYLOAD_OFFSET + shape.capacity);
    owner.store32(header::STATE, State::READY.0, Ordering::Release);
    (owner, Plain::new(peers::size(shape.seats)))
}

fn shape() -> impl Strategy<Value = Shape> {
    let base = prop_oneof![Just(0_u64), any::<u64>(), u64::MAX - 10_000..];
    (6..13_u32, 1..4_u32, base).prop_map(|(capacity, seats, base)| Shape {
        capacity: 1 << capacity,
        seats,
        base: base & !7,
    })
}

/// Words that lead somewhere, besides any others.
fn word(shape: Shape) -> impl Strategy<Value = u64> {
    let near = (-2 * shape.capacity as i64..2 * shape.capacity as i64)
        .prop_map(move |distance| shape.base.wrapping_add_signed(distance));
    let header =
        (0..shape.capacity, any::<u16>(), any::<bool>()).prop_map(|(len, kind, padding)| {
            if padding {
                record::RecordHeader::encode_padding(len | 8)
            } else {
                record::RecordHeader::encode(len, kind)
            }
        });
    let state = (0..4_u64, any::<bool>(), 0..6_u64)
        .prop_map(|(epoch, durable, claim)| epoch << 16 | u64::from(durable) << 8 | claim);
    prop_oneof![Just(0), any::<u64>(), near.clone(), near, header, state]
}

proptest! {
    // Found cases become tests of their own, not files beside the sources.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn what_goes_in_comes_out(
        shape in shape(),
        steps in prop::collection::vec((any::<u16>(), 0..4_u8), 1..200),
    ) {
        let (owner, peers) = segments(shape);
        let mut producer = RingProducer::create(owner.clone(), peers.clone(), shape, 0);
        let taken = seats::take(&owner, &peers, &shape, 0, None).unwrap();
        let mut consumer =
            RingConsumer::new(owner.clone(), peers.clone(), shape, 0, taken.state, taken.cursor);
        let mut sent: VecDeque<(u16, Vec<u8>)> = VecDeque::new();
        for (number, step) in steps {
            if step < 2 {
                let len = u64::from(number) % (record::max_payload(shape.capacity) + 1);
                let mut room = None;
                for _ in 0..2 {
                    room = producer.claim(len);
                    if room.is_some() {
                        break;
                    }
                    // Where everything was read and given back there is room.
                    if sent.is_empty() {
                        prop_assert!(consumer.peek().unwrap().is_none());
                        consumer.publish();
                    }
                    producer.scan();
                }
                prop_assert!(room.is_some() || !sent.is_empty());
                if let Some(room) = room {
                    let payload = vec![number as u8; len as usize];
                    owner.copy_in(producer.payload_at(room), &payload);
                    // Some are committed shorter.
                    let len = if number & 64 == 0 { len } else { len / 2 };
                    producer.commit(room, len, number);
                    sent.push_back((number, payload[..len as usize].to_vec()));
                }
            } else if let Some(found) = consumer.peek().unwrap() {
                let mut payload = vec![0; found.len as usize];
                owner.copy_out(found.payload_at, &mut payload);
                consumer.pass(found);
                prop_assert_eq!(Some((found.kind, payload)), sent.pop_front());
                if step == 3 {
                    consumer.publish();
                }
            } else {
                prop_assert!(sent.is_empty());
            }
        }
        prop_assert_eq!(consumer.records() + sent.len() as u64, producer.records());
    }

    #[test]
    fn nothing_that_a_peer_writes_makes_us_panic_or_loop(
        (shape, words, data) in shape().prop_flat_map(|shape| (
            Just(shape),
            prop::collection::vec(word(shape), 30),
            prop::collection::vec((0..shape.capacity / 8, word(shape)), 0..40),
        )),
        durable in any::<bool>(),
    ) {
        let (owner, peers) = segments(shape);
        for (index, word) in data {
            owner.store(ring::PAYLOAD_OFFSET + 8 * index, word, Ordering::Relaxed);
        }
        let cursor = [0, 8, 16].map(|at| owner::WRITE_SEQ + at);
        let verdict = [verdict::EVICTED, verdict::LOST_0, verdict::LOST_1].map(|at| verdict::at(0) + at);
        for (at, word) in cursor.into_iter().chain(verdict).zip(&words) {
            owner.store(at, *word, Ordering::Relaxed);
        }
        let of_seat = [
            seat::STATE, seat::ABANDONED_0, seat::ABANDONED_1, seat::START_0, seat::START_1,
            seat::READ_SEQ, seat::READ_RECORDS_0, seat::READ_RECORDS_1, seat::NAME_LEN,
        ];
        for (at, word) in of_seat.into_iter().zip(&words[6..]) {
            peers.store(peers::seat_at(0) + at, *word, Ordering::Relaxed);
        }
        // Callers check that a position is a multiple of 8.
        let _ = walk(&owner, &shape, words[20] & !7);
        let _ = crate::protocol::seats::name_of(&peers, 0);

        let name = durable.then_some("durable");
        if let Ok(taken) = seats::take(&owner, &peers, &shape, 0, name) {
            let mut consumer =
                RingConsumer::new(owner.clone(), peers.clone(), shape, 0, taken.state, taken.cursor);
            for _ in 0..10 {
                if let Ok(Some(found)) = consumer.peek() {
                    let mut payload = vec![0; found.len as usize];
                    owner.copy_out(found.payload_at, &mut payload);
                    consumer.pass(found);
                }
                consumer.publish();
                let (seat, state) = (consumer.seat(), consumer.state());
                let _ = crate::protocol::seats::eviction(consumer.owner(), seat, state);
                let _ = crate::protocol::seats::is_ours(consumer.peers(), seat, state);
            }
        }
        if let Ok(mut producer) = RingProducer::adopt(owner.clone(), peers.clone(), shape) {
            for (round, word) in words[21..].iter().enumerate() {
                producer.scan();
                producer.unread_by_all();
                if let Some(room) = producer.claim(word % (record::max_payload(shape.capacity) + 1)) {
                    producer.commit(room, 0, 0);
                }
                producer.evict_dead(&NoLocks, u64::MAX);
                // The liar goes on.
                let at = peers::seat_at(0) + of_seat[round % of_seat.len()];
                peers.store(at, *word, Ordering::Relaxed);
            }
        }
    }
}
