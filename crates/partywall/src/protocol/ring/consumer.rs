//! A consumer's side: look at the next record, pass it, publish how far it came.

use super::Shape;
use std::sync::atomic::Ordering::Relaxed;

use crate::layout::record::RecordHeader;
use crate::layout::seat::SeatState;
use crate::layout::{owner, peers};
use crate::memory::{Shared, SharedMut};
use crate::protocol::Lie;
use crate::protocol::buffer::{self, Buffer, Found};
use crate::protocol::cursor::{self, Cursor};

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
    /// Where it was compared with `write_seq` last.
    compared: u64,
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
            compared: cursor.position(),
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

    /// Once a lap: is the producer really so far? `write_seq` is stored behind each commit, and before the header of the
    /// next one, so a record that we read ends at most one commit past it. Headers that go on for longer were
    /// made by nobody who commits: they would lead round and round without an end.
    #[inline(always)]
    pub(crate) fn compare(&mut self) -> Result<(), Lie> {
        if self.next.wrapping_sub(self.compared) < self.shape.capacity {
            return Ok(());
        }
        self.compared = self.next;
        // SYNC record-commit: the header that we loaded carries the `write_seq` of the commit before it.
        let written = cursor::position_of(self.owner.load(owner::WRITE_SEQ, Relaxed));
        if self.next.wrapping_sub(written) as i64 > self.shape.capacity as i64 {
            return Err(Lie {
                word: "write_seq",
                place: owner::WRITE_SEQ,
                expected: "at most a commit behind what can be read",
                found: written,
            });
        }
        Ok(())
    }

    pub(crate) fn state(&self) -> SeatState {
        self.state
    }
}
