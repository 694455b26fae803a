//! Room for one record.

use std::io;

use super::Producer;
use crate::memory::SharedMut;
use crate::protocol::buffer::Claimed;

/// Room for one record, not visible to anybody until it is committed; dropping it sends nothing.
///
/// Its bytes are what they were: write all of them, or commit fewer.
#[derive(Debug)]
pub struct Reservation<'a> {
    pub(super) producer: &'a mut Producer,
    pub(super) claimed: Claimed,
    len: usize,
    kind: u16,
    written: usize,
}

impl<'a> Reservation<'a> {
    pub(super) fn new(producer: &'a mut Producer, claimed: Claimed, len: usize) -> Self {
        Reservation {
            producer,
            claimed,
            len,
            kind: 0,
            written: 0,
        }
    }

    /// Bytes reserved.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty reservation is nothing special"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes to a place in the record.
    ///
    /// # Panics
    /// If they do not fit into the reservation.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let fits = offset
            .checked_add(bytes.len())
            .is_some_and(|end| end <= self.len);
        assert!(
            fits,
            "{} bytes at {offset} do not fit into {}",
            bytes.len(),
            self.len
        );
        // A forked child does not have the mapping.
        if !self.producer.handle.is_ours() {
            return;
        }
        let producer = self.producer.handle.role();
        let at = producer.payload_at(self.claimed) + offset as u64;
        producer.owner().copy_in(at, bytes);
    }

    /// The application's own number for the record; default 0.
    pub fn set_kind(&mut self, kind: u16) {
        self.kind = kind;
    }

    /// Commits all of it.
    pub fn commit(self) {
        let len = self.len;
        self.commit_len(len);
    }

    /// Commits the first `len` bytes.
    ///
    /// # Panics
    /// If fewer were reserved.
    pub fn commit_len(self, len: usize) {
        assert!(len <= self.len, "{len} bytes of {} reserved", self.len);
        if !self.producer.handle.is_ours() {
            return;
        }
        self.producer
            .handle
            .role_mut()
            .commit(self.claimed, len as u64, self.kind);
        self.producer.announce(1);
    }
}

/// Writes one after the other, up to the length reserved.
impl io::Write for Reservation<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.len - self.written);
        self.write_at(self.written, &bytes[..len]);
        self.written += len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
