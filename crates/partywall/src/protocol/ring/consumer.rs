//! A consumer's side: look at the next record, pass it, publish how far it came.

use super::Shape;
use crate::layout::peers;
use crate::layout::record::RecordHeader;
use crate::layout::seat::SeatState;
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;
use crate::protocol::buffer::{self, Buffer, Found};
use crate::protocol::cursor::Cursor;

/// The holder of one seat.
#[derive(Debug)]
pub(crate) struct RingConsumer<O, P> {
    owner: O,
    peers: P,
    shape: Shape,
    seat: u32,
    /// What this holder stored in its state word.
    state: SeatState,
    /// `read_seq` as stored last, with the count of records.
    cursor: Cursor,
    /// The next record to look at.
    next: u64,
    /// Records passed, counted from the channel's beginning.
    records: u64,
    /// Publish when this many bytes have been passed since the last time.
    publish_after: u64,
}

impl<O: Shared, P: SharedMut> RingConsumer<O, P> {
    /// The holder of a seat that was just claimed (see [`super::seats`]).
    pub(crate) fn new(
        owner: O,
        peers: P,
        shape: Shape,
        seat: u32,
        state: SeatState,
        cursor: Cursor,
    ) -> Self {
        RingConsumer {
            next: cursor.position(),
            records: cursor.records(),
            owner,
            peers,
            shape,
            seat,
            state,
            cursor,
            publish_after: shape.capacity / 8,
        }
    }

    pub(crate) fn owner(&self) -> &O {
        &self.owner
    }

    pub(crate) fn peers(&self) -> &P {
        &self.peers
    }

    pub(crate) fn seat(&self) -> u32 {
        self.seat
    }

    pub(crate) fn seat_at(&self) -> u64 {
        peers::seat_at(self.seat)
    }

    /// The next position to read.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The next committed record, if there is one. It stays unread, and its bytes stay, until
    /// [`Self::pass`] and the next [`Self::publish`].
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<Option<Found>, Lie> {
        let header = buffer::peek::<RecordHeader>(&self.owner, self.shape, &mut self.next)?;
        Ok(header.map(|header| Found::new(self.shape, self.next, header)))
    }

    /// While the next record is awaited: a small one reaches into the line behind its header's. Asked for in
    /// advance, the two lines cross together and not one after the other.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        self.owner
            .prefetch(self.shape.data(self.next.wrapping_add(64)));
    }

    /// Goes on behind a record.
    #[inline(always)]
    pub(crate) fn pass(&mut self, found: Found) {
        self.next = found.end();
        self.records = self.records.wrapping_add(1);
    }

    /// Whether enough was passed since the last publication that the producer ought to know.
    #[inline(always)]
    pub(crate) fn ought_to_publish(&self) -> bool {
        self.next.wrapping_sub(self.cursor.position()) >= self.publish_after
    }

    /// Lets the producer have everything that was passed; `false` if it has it already. The caller is done
    /// with the bytes of those records.
    #[inline(always)]
    pub(crate) fn publish(&mut self) -> bool {
        if self.next == self.cursor.position() {
            return false;
        }
        // SYNC ring-release: our last loads of these bytes stay before the producer's stores to them.
        self.cursor.publish(&self.peers, self.next, self.records);
        true
    }

    pub(crate) fn state(&self) -> SeatState {
        self.state
    }
}
