//! Records that are committed together.

use super::records::{Patience, RecordWriter, Room, Sent};
use crate::error::SendError;
use crate::protocol::buffer::Pending;

/// Records that become visible together. When there is no room for the next, those before it are
/// committed first: a batch saves time, it is not a transaction.
#[derive(Debug)]
pub struct Batch<'a, W> {
    writer: &'a mut W,
    pending: Pending,
}

#[allow(private_bounds, reason = "only handles of this crate write records")]
impl<'a, W: RecordWriter> Batch<'a, W> {
    pub(crate) fn new(writer: &'a mut W) -> Self {
        Batch {
            writer,
            pending: Pending::default(),
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// As `send`. What was added before stays pending, or is committed already.
    #[inline(always)]
    pub fn push(&mut self, payload: &[u8]) -> Result<Sent, SendError> {
        self.push_kind(0, payload)
    }

    /// [`Self::push`] with a number of the application's own.
    ///
    /// # Errors
    /// As `send`.
    #[inline(always)]
    pub fn push_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        if self.writer.is_ours()
            && payload.len() <= self.writer.longest()
            && self.writer.push(&mut self.pending, kind, payload)
        {
            return Ok(Sent::Committed);
        }
        self.push_slow(kind, payload)
    }

    #[cold]
    #[inline(never)]
    fn push_slow(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        if !self.writer.is_ours() {
            return Err(self.writer.forked());
        }
        if payload.len() > self.writer.longest() {
            return Err(self.writer.too_large(payload.len()));
        }
        loop {
            if self.writer.push(&mut self.pending, kind, payload) {
                return Ok(Sent::Committed);
            }
            self.commit_pending();
            // The claim only proves that there is room: it is pushed, not sent.
            match self.writer.claim(payload.len(), Patience::Policy)? {
                Room::Claimed(_) => {}
                Room::Drop => return Ok(Sent::Dropped),
            }
        }
    }

    /// Commits what is pending. Dropping the batch instead discards it.
    pub fn commit(mut self) {
        self.commit_pending();
    }

    fn commit_pending(&mut self) {
        // A forked child does not have the mapping.
        if self.writer.is_ours() {
            self.writer.commit_pending(&mut self.pending);
        }
    }
}
