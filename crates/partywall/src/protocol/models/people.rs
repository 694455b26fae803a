//! Who acts in the models: senders and readers that know what they must see.

use super::memory::{Handle, Process, World};
use crate::layout::record;
use crate::memory::{Shared, SharedMut};
use crate::protocol::SeatLocks;
use crate::protocol::buffer::Pending;
use crate::protocol::ring::consumer::RingConsumer;
use crate::protocol::ring::producer::RingProducer;
use crate::protocol::ring::seats;

pub(super) type Producer = RingProducer<Handle, Handle>;

/// A word of the payload of the record with this kind: no header that a producer writes, so that whoever
/// takes it for one finds out.
fn word_of(kind: u16) -> u64 {
    0xdead_0000 + u64::from(kind)
}

pub(super) fn payload(kind: u16, len: u64) -> Vec<u8> {
    word_of(kind).to_le_bytes().repeat(len as usize / 8)
}

/// Sends a record of `len` bytes, a multiple of 8; looks at the seats at most `looks` times.
pub(super) fn send(producer: &mut Producer, kind: u16, len: u64, looks: u32) -> bool {
    send_shorter(producer, kind, len, len, looks)
}

/// Claims and fills `claimed` bytes, and commits `len` of them.
pub(super) fn send_shorter(
    producer: &mut Producer,
    kind: u16,
    claimed: u64,
    len: u64,
    looks: u32,
) -> bool {
    assert!(claimed <= record::max_payload(producer.shape().capacity));
    for look in 0..=looks {
        if let Some(room) = producer.claim(claimed) {
            let at = producer.payload_at(room);
            producer.owner().copy_in(at, &payload(kind, claimed));
            producer.commit(room, len, kind);
            return true;
        }
        if look < looks {
            producer.scan();
        }
    }
    false
}

/// Adds a record to a batch.
pub(super) fn push(producer: &mut Producer, pending: &mut Pending, kind: u16, len: u64) -> bool {
    producer.push(pending, kind, &payload(kind, len))
}

/// A consumer with its process, and the kinds of the records that it had before it died.
pub(super) struct Reader {
    pub(super) process: Process,
    pub(super) consumer: RingConsumer<Handle, Handle>,
    pub(super) kinds: Vec<u16>,
    pub(super) resumed: bool,
    /// Records before its first one.
    pub(super) first: u64,
}

impl Reader {
    /// Takes a free lock and the seat; `None` if somebody has it, or the generation is no longer READY.
    pub(super) fn attach(
        world: &World,
        process: Process,
        seat: u32,
        durable: Option<&str>,
    ) -> Option<Reader> {
        if !world.locks.try_lock(seat) {
            return None;
        }
        let taken = seats::take(&process.owner, &process.peers, &world.shape, seat, durable).ok();
        if taken.is_none() {
            world.locks.unlock(seat);
        }
        let taken = taken?;
        Some(Reader {
            first: taken.cursor.records(),
            resumed: taken.resumed,
            kinds: Vec::new(),
            consumer: RingConsumer::new(
                process.owner.clone(),
                process.peers.clone(),
                world.shape,
                seat,
                taken.state,
                taken.cursor,
            ),
            process,
        })
    }

    /// Reads at most `records`, each at most one look, and publishes after each.
    pub(super) fn read(&mut self, looks: u32) {
        for _ in 0..looks {
            if let Some(kind) = self.next() {
                self.consumer.publish();
                if !self.process.dead() {
                    self.kinds.push(kind);
                }
            }
        }
    }

    /// Reads all that is there, after everybody else has come to an end.
    pub(super) fn drain(&mut self) {
        while let Some(kind) = self.next() {
            self.kinds.push(kind);
        }
        self.consumer.publish();
    }

    /// The next record, checked and passed, not yet published.
    pub(super) fn next(&mut self) -> Option<u16> {
        let found = self.consumer.peek().expect("an honest producer")?;
        let mut bytes = vec![0; found.len as usize];
        self.process.owner.copy_out(found.payload_at, &mut bytes);
        assert_eq!(
            bytes,
            payload(found.kind, u64::from(found.len)),
            "payload of record {}",
            found.kind
        );
        self.consumer.pass(found);
        Some(found.kind)
    }

    /// Its process ends without leaving the seat: the kernel unlocks it.
    pub(super) fn die(self, world: &World) -> Vec<u16> {
        world.locks.unlock(self.consumer.seat());
        self.kinds
    }

    /// What it read is an unbroken run from its first record to the `end`th.
    pub(super) fn assert_run_to(&self, end: u64) {
        let expected: Vec<u16> = (self.first..end).map(|kind| kind as u16).collect();
        assert_eq!(self.kinds, expected);
        assert_eq!(self.consumer.records(), end);
    }
}
