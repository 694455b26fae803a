//! What a receiver gets.

use std::fmt;
use std::ops::Deref;

use crate::protocol::Lie;

/// Which sender: a seat, and the how manieth of its holders. A seat is taken by one sender after the other; the two numbers
/// together name one of them for as long as the channel's generation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderId {
    /// The seat's number, from 0.
    pub seat: u32,
    /// Counts the seat's holders from 1; some may never be heard of.
    pub epoch: u64,
}

/// As `seat.epoch`, such as `3.1`.
impl fmt::Display for SenderId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}.{}", self.seat, self.epoch))
    }
}

/// What a receiver is told. What is said of a sender comes at its place between that sender's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<R = Record> {
    /// A record.
    Record(R),
    /// A sender has come: its first record follows.
    Opened(SenderId),
    /// A sender has left in an orderly way, and everything of it was received.
    Closed(SenderId),
    /// A sender has died, and everything that it had committed was received.
    Died(SenderId),
    /// Somebody wrote over a sender's lane: what follows in it cannot be received. The sender gets
    /// [`SendError::Evicted`](crate::SendError::Evicted); the seat's next holder begins anew.
    Lied(SenderId, Lie),
}

impl<R> Event<R> {
    /// The record, if it is one.
    pub fn record(self) -> Option<R> {
        match self {
            Event::Record(record) => Some(record),
            _ => None,
        }
    }

    /// The same about another kind of record.
    pub(super) fn map<S>(self, change: impl FnOnce(R) -> S) -> Event<S> {
        match self {
            Event::Record(record) => Event::Record(change(record)),
            Event::Opened(sender) => Event::Opened(sender),
            Event::Closed(sender) => Event::Closed(sender),
            Event::Died(sender) => Event::Died(sender),
            Event::Lied(sender, lie) => Event::Lied(sender, lie),
        }
    }
}

/// A record that was received, with its own copy of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who sent it.
    pub sender: SenderId,
    /// The application's own number.
    pub kind: u16,
    /// Where it began in its lane: bytes since the channel did. Grows from record to record of one sender.
    pub position: u64,
    /// The generation in which it was sent: after [`Receiver::reschema`](super::Receiver::reschema) it tells what the
    /// record is made of.
    pub generation: u64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl Record {
    pub(super) fn new(meta: Meta, payload: Vec<u8>) -> Self {
        Record {
            sender: meta.sender,
            kind: meta.kind,
            position: meta.position,
            generation: meta.generation,
            payload,
        }
    }
}

impl Deref for Record {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.payload
    }
}

/// What there is to know of a record besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Who sent it.
    pub sender: SenderId,
    /// Bytes.
    pub len: usize,
    /// The application's own number.
    pub kind: u16,
    /// Where it began in its lane: bytes since the channel did.
    pub position: u64,
    /// The generation in which it was sent.
    pub generation: u64,
}

/// One lane's account since the channel began, over all holders of its seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounters {
    /// Records that receivers handed out. What a dead receiver had not acknowledged is counted when it comes again.
    pub received: u64,
    /// Records that senders refused by [`Overflow::DropNewest`](super::Overflow::DropNewest), as they say.
    pub dropped: u64,
    /// Times that a send waited for room, as they say.
    pub blocked: u64,
    /// Nanoseconds waited for room, as they say.
    pub blocked_ns: u64,
}
