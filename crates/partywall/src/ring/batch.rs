//! Records that are committed together.

use super::producer::{Patience, Room};
use super::{Producer, Sent};
use crate::error::SendError;
use crate::protocol::buffer::Pending;

/// Records that become visible together. When the ring has no room for the next, those before it are
/// committed first: a batch saves time, it is not a transaction.
#[derive(Debug)]
pub struct Batch<'a> {
    producer: &'a mut Producer,
    pending: Pending,
}

impl<'a> Batch<'a> {
    pub(super) fn new(producer: &'a mut Producer) -> Self {
        Batch {
            producer,
            pending: Pending::default(),
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// As [`Producer::send`]. What was added before stays pending, or is committed already.
    #[inline(always)]
    pub fn push(&mut self, payload: &[u8]) -> Result<Sent, SendError> {
        self.push_kind(0, payload)
    }

    /// [`Self::push`] with a number of the application's own.
    ///
    /// # Errors
    /// As [`Producer::send`].
    #[inline(always)]
    pub fn push_kind(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        if self.producer.handle.is_ours()
            && payload.len() <= self.producer.max_record
            && self
                .producer
                .handle
                .role_mut()
                .push(&mut self.pending, kind, payload)
        {
            return Ok(Sent::Committed);
        }
        self.push_slow(kind, payload)
    }

    #[cold]
    #[inline(never)]
    fn push_slow(&mut self, kind: u16, payload: &[u8]) -> Result<Sent, SendError> {
        if !self.producer.handle.is_ours() {
            return Err(self.producer.handle.forked());
        }
        if payload.len() > self.producer.max_record {
            return Err(self.producer.too_large(payload.len()));
        }
        loop {
            let producer = self.producer.handle.role_mut();
            if producer.push(&mut self.pending, kind, payload) {
                return Ok(Sent::Committed);
            }
            self.commit_pending();
            // The claim only proves that there is room: it is pushed, not sent.
            match self.producer.claim(payload.len(), Patience::Policy)? {
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
        if !self.producer.handle.is_ours() {
            return;
        }
        let records = self
            .producer
            .handle
            .role_mut()
            .commit_pending(&mut self.pending);
        if records > 0 {
            self.producer.announce(records);
        }
    }
}
