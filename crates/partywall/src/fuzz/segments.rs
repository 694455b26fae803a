//! Seats of a ring, slots, and the descriptors and seats of frames.

use std::sync::atomic::Ordering::Release;

use super::Said;
use crate::layout::frames::{About, Info, Pool};
use crate::layout::header::{self, State};
use crate::layout::seat::SeatState;
use crate::layout::{
    frames as frames_layout, owner, peers, ring as ring_layout, slots as slots_layout,
};
use crate::memory::{Shared, SharedMut};
use crate::protocol::frames::seats::{self as frame_seats, Wish};
use crate::protocol::frames::{self, Next, Publisher, Subscriber};
use crate::protocol::guarded::{Held, holder_number};
use crate::protocol::plain::{NoLocks, Plain};
use crate::protocol::ring::producer::RingProducer;
use crate::protocol::ring::{Shape as Ring, seats as ring_seats};
use crate::protocol::seats as all_seats;
use crate::protocol::slots::{CursorReader, LatestReader, Shape as Slots, SlotWriter, Start};

pub(super) fn ready(size: u64) -> Plain {
    let memory = Plain::new(size);
    memory.store32(header::STATE, State::READY.0, Release);
    memory
}

/// Seats of a ring that say anything: the producer goes by them, evicts and counts, newcomers take them over.
pub(super) fn seats(bytes: &[u8]) {
    let mut said = Said(bytes);
    let shape = Ring {
        capacity: 512,
        seats: 3,
        base: if said.byte() & 1 == 0 {
            0
        } else {
            said.word() & !7
        },
    };
    let (owner_len, peers_len) = (ring_layout::PAYLOAD_OFFSET + 512, peers::size(3));
    let (owner, peers) = (ready(owner_len), Plain::new(peers_len));
    let mut producer = RingProducer::create(owner.clone(), peers.clone(), shape, 0);
    for seat in 0..2 {
        let name = (seat == 0).then_some("name");
        ring_seats::take(&owner, &peers, &shape, seat, name).expect("a free seat");
    }
    for _ in 0..64 {
        match said.byte() % 8 {
            0..=2 => said.lie(&[(&peers, peers_len), (&peers, 4096), (&owner, 1152)]),
            3 => {
                producer.scan();
                let len = u64::from(said.byte());
                if let Some(claimed) = producer.claim(len) {
                    let at = producer.payload_at(claimed);
                    owner.copy_in(at, &vec![1; len as usize]);
                    producer.commit(claimed, len, 1);
                }
            }
            4 => {
                let seats = said.byte().into();
                producer.evict_dead(&NoLocks, seats);
            }
            5 => {
                let seat = u32::from(said.byte() % 3);
                let name = (said.byte() & 1 == 0).then_some("other");
                let _ = ring_seats::take(&owner, &peers, &shape, seat, name);
            }
            6 => {
                let seat = u32::from(said.byte() % 3);
                let state = SeatState(
                    peers.load(peers::seat_at(seat), std::sync::atomic::Ordering::Relaxed),
                );
                let _ = all_seats::name_of(&peers, seat);
                let _ = all_seats::eviction(&owner, seat, state);
                let _ = all_seats::is_ours(&peers, seat, state);
                let _ = producer.unread_by_all();
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

/// Slots of a snapshot, a broadcast and a guarded record: every reader, and whoever takes it over.
pub(super) fn slots(bytes: &[u8]) {
    let mut said = Said(bytes);
    let choice = said.byte();
    let shape = Slots {
        slots: 4,
        value: 40,
        base: if choice & 2 == 0 {
            0
        } else {
            said.word() % slots_layout::LAST_VERSION
        },
        checksums: choice & 1 != 0,
    };
    let len = slots_layout::PAYLOAD_OFFSET + shape.slots * slots_layout::stride(shape.value);
    let owner = ready(len);
    let mut writer = SlotWriter::create(owner.clone(), shape);
    for number in 0..choice >> 4 {
        writer.put(&[number; 40], number.into(), 1);
    }
    let mut latest = LatestReader::new(owner.clone(), shape);
    let mut cursor = CursorReader::new(owner.clone(), shape, Start::Oldest).ok();
    let me = holder_number(1, SeatState(1 << 16));
    let mut out = Vec::new();
    for _ in 0..64 {
        match said.byte() % 8 {
            0..=2 => said.lie(&[(&owner, len), (&owner, 1152)]),
            3 => {
                let _ = (latest.has_news(), latest.read(&mut out));
            }
            4 => {
                if let Some(cursor) = &mut cursor {
                    let _ = (cursor.read(&mut out), cursor.check());
                }
            }
            5 => cursor = CursorReader::new(owner.clone(), shape, Start::Newest).ok(),
            6 => {
                if let Ok(mut adopted) = SlotWriter::adopt(owner.clone(), shape) {
                    adopted.put(&[9; 13], 1, 2);
                }
            }
            _ => {
                let repairing = said.byte() & 1 == 0;
                if let Ok(mut held) = Held::lock(owner.clone(), shape, me, repairing) {
                    let _ = held.read(&mut out);
                    held.commit(&[8; 7], 3, 4);
                    held.mark_consistent();
                    held.release();
                }
            }
        }
        assert!(out.len() <= shape.value as usize);
        if said.is_over() {
            return;
        }
    }
}

/// Descriptors, slot words, and the seats of frames.
pub(super) fn descriptors(bytes: &[u8]) {
    let mut said = Said(bytes);
    let pool = Pool {
        slots: 12,
        seats: 2,
        held: 2,
        history: 2,
        loans: 2,
    };
    let base = if said.byte() & 1 == 0 {
        0
    } else {
        said.word() >> 3
    };
    let Ok(pool) = pool.check() else {
        return;
    };
    let shape = frames::Shape::new(pool, 64, base);
    let (owner_len, peers_len) = (
        owner::SIZE + frames_layout::payload_size(12, 64),
        peers::size(2),
    );
    let (owner, peers) = (ready(owner_len), Plain::new(peers_len));
    let mut publisher = Publisher::create(owner.clone(), peers.clone(), shape);
    let attach = |seat: u32, lossy: bool, history: u32| {
        let wish = Wish {
            lossy,
            back: history,
        };
        let taken = frame_seats::take(&owner, &peers, &shape, seat, wish).ok()?;
        Some(Subscriber::new(
            owner.clone(),
            peers.clone(),
            shape,
            seat,
            taken,
        ))
    };
    let mut subscribers = [attach(0, false, 0), attach(1, true, 1)];
    for _ in 0..64 {
        match said.byte() % 8 {
            0..=2 => said.lie(&[(&owner, 8192 + 1024), (&peers, 2048), (&owner, 4096 + 128)]),
            3 | 4 => {
                if let Ok(loan) = publisher.loan() {
                    let at = publisher.data_at(&loan);
                    owner.copy_in(at, &[5; 64]);
                    let info = Info::new(64, 1, 1);
                    publisher.publish(loan, info, 1, &About::default());
                }
            }
            5 => {
                let seat = usize::from(said.byte() & 1);
                if let Some(subscriber) = &mut subscribers[seat]
                    && let Ok(Some(Next::Frame(frame))) = subscriber.take()
                {
                    let mut bytes = vec![0; frame.len as usize];
                    assert!(frame.len <= 64);
                    owner.copy_out(frame.at, &mut bytes);
                    if said.byte() & 1 == 0 {
                        frames::give_back(&peers, seat as u32, frame.slot);
                    }
                }
            }
            6 => {
                publisher.evict_dead(&NoLocks, 3);
                let _ = publisher.subscribers();
                let seat = u32::from(said.byte() & 1);
                subscribers[seat as usize] = attach(seat, said.byte() & 1 == 0, 2);
            }
            _ => match Publisher::adopt(owner.clone(), peers.clone(), shape) {
                Ok(adopted) => publisher = adopted,
                Err(_) => return,
            },
        }
        if said.is_over() {
            return;
        }
    }
}
