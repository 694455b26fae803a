//! Walks over records: a ring's, and the lanes of many senders.

use super::Said;
use super::segments::ready;
use crate::layout::{mpsc as mpsc_layout, owner, peers, ring as ring_layout};
use crate::memory::{Shared, SharedMut};
use crate::protocol::buffer::Buffer;
use crate::protocol::mpsc::Shape as Lanes;
use crate::protocol::mpsc::receiver::{Event, Receiver};
use crate::protocol::mpsc::sender::Sender;
use crate::protocol::plain::{NoLocks, Plain};
use crate::protocol::ring::consumer::RingConsumer;
use crate::protocol::ring::producer::RingProducer;
use crate::protocol::ring::{Shape as Ring, seats, walk};

/// More news than this nobody has in so small a lane.
const MOST: usize = 4096;

/// A ring whose records say anything: consumers read it, newcomers take seats over, an owner adopts it.
pub(super) fn records(bytes: &[u8]) {
    let mut said = Said(bytes);
    let shape = Ring {
        capacity: 512,
        seats: 2,
        base: if said.byte() & 1 == 0 {
            0
        } else {
            said.word() & !7
        },
    };
    let len = ring_layout::PAYLOAD_OFFSET + shape.capacity;
    let (owner, peers) = (ready(len), Plain::new(peers::size(2)));
    let mut producer = RingProducer::create(owner.clone(), peers.clone(), shape, 0);
    let attach = |seat| {
        let taken = seats::take(&owner, &peers, &shape, seat, None).ok()?;
        let (owner, peers) = (owner.clone(), peers.clone());
        Some(RingConsumer::new(
            owner,
            peers,
            shape,
            seat,
            taken.state,
            taken.cursor,
        ))
    };
    let mut consumer = attach(0);
    for _ in 0..64 {
        match said.byte() % 8 {
            0 | 1 => {
                // A header of the fuzzer's own, where one may stand.
                let at = shape.data(producer.position().wrapping_sub(u64::from(said.byte()) * 8));
                owner.store(at, said.word(), std::sync::atomic::Ordering::Release);
            }
            2 => said.lie(&[(&owner, 1152), (&owner, len), (&peers, 2048)]),
            3 | 4 => {
                producer.scan();
                let len = u64::from(said.byte());
                if let Some(claimed) = producer.claim(len) {
                    let at = producer.payload_at(claimed);
                    owner.copy_in(at, &vec![1; len as usize]);
                    producer.commit(claimed, len, 1);
                }
            }
            5 => {
                if let Some(consumer) = &mut consumer {
                    for _ in 0..8 {
                        let Ok(Some(found)) = consumer.peek() else {
                            break;
                        };
                        let mut payload = vec![0; found.len as usize];
                        owner.copy_out(found.payload_at, &mut payload);
                        consumer.pass(found);
                    }
                    consumer.publish();
                }
            }
            6 => {
                let from = said.word() & !7;
                if let Ok(walked) = walk(&owner, &shape, from) {
                    assert!(walked.end.wrapping_sub(from) < shape.capacity);
                }
                consumer = attach(u32::from(said.byte() & 1));
            }
            _ => match RingProducer::adopt(owner.clone(), peers.clone(), shape) {
                Ok(adopted) => producer = adopted,
                Err(_) => return,
            },
        }
        if said.is_over() {
            return;
        }
    }
}

/// Lanes that say anything: the receiver reads and judges them, its successors adopt them, senders take them over.
pub(super) fn lanes(bytes: &[u8]) {
    let mut said = Said(bytes);
    let shape = Lanes {
        lane: 256,
        seats: 2,
    };
    let owner_len = owner::SIZE + mpsc_layout::lane_words(2);
    let peers_len = mpsc_layout::lane_at(256, 2);
    let (owner, peers) = (ready(owner_len), Plain::new(peers_len));
    let claim = |seat: u32| {
        let (owner, peers) = (owner.clone(), peers.clone());
        Sender::claim(
            owner,
            peers.clone(),
            peers,
            shape.lane_of(seat),
            shape,
            seat,
            None,
        )
        .ok()
    };
    let mut receiver = Receiver::create(owner.clone(), peers.clone(), shape);
    let mut senders = [claim(0), claim(1)];
    // Lane 1 may be one that nobody reserved, and then is read by nobody.
    let hole = said.byte() & 1 != 0;
    if hole {
        senders[1] = None;
        peers.take_away(shape.lane_of(1).offset(), 256);
    }
    let seat_of = |byte: u8| if hole { 0 } else { u32::from(byte & 1) };
    for _ in 0..64 {
        match said.byte() % 8 {
            0 => said.lie(&[(&owner, owner_len), (&peers, 2048), (&owner, 4096 + 256)]),
            1 | 2 => {
                // Into a lane, near its beginning or its end.
                let lane = shape.lane_of(seat_of(said.byte()));
                let at = lane.data(u64::from(said.byte()) * 8);
                let value = said.word();
                peers.store(at, value, std::sync::atomic::Ordering::Release);
            }
            3 | 4 => {
                let seat = seat_of(said.byte()) as usize;
                if let Some(sender) = &mut senders[seat] {
                    let len = u64::from(said.byte() % 100);
                    if sender.look().is_ok()
                        && let Some(room) = sender.room(len)
                    {
                        let at = sender.payload_at(room);
                        sender.lane().copy_in(at, &vec![2; len as usize]);
                        sender.commit(room, len, 2);
                    }
                }
            }
            5 => {
                receiver.sweep();
                let mut told = 0;
                while let Some(event) = receiver.next() {
                    if let Event::Record { found, .. } = event {
                        let mut payload = vec![0; found.len as usize];
                        peers.copy_out(found.payload_at, &mut payload);
                    }
                    told += 1;
                    assert!(told < MOST, "news without an end");
                }
                let _ = receiver.find_dead(&NoLocks, &NoLocks);
            }
            6 => {
                let seat = seat_of(said.byte());
                senders[seat as usize] = claim(seat);
            }
            _ => match Receiver::adopt(owner.clone(), peers.clone(), shape) {
                Ok(mut adopted) => {
                    let _ = adopted.is_laden();
                    receiver = adopted;
                }
                Err(_) => return,
            },
        }
        if said.is_over() {
            return;
        }
    }
}
