//! Room for one record.

use std::io;

use super::records::RecordWriter;
use crate::protocol::buffer::Claimed;

/// Room for one record, not visible to anybody until it is committed; dropping it sends nothing.
///
/// Its bytes are what they were: write all of them, or commit fewer.
#[derive(Debug)]
pub struct Reservation<'a, W> {
    pub(crate) writer: &'a mut W,
    pub(crate) claimed: Claimed,
    len: usize,
    kind: u16,
    written: usize,
}

#[allow(private_bounds, reason = "only handles of this crate write records")]
impl<'a, W: RecordWriter> Reservation<'a, W> {
    pub(crate) fn new(writer: &'a mut W, claimed: Claimed, len: usize) -> Self {
        Reservation {
            writer,
            claimed,
            len,
            kind: 0,
            written: 0,
        }
    }

    /// Bytes reserved.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes to a place in the record.
    ///
    /// # Panics
    /// If they do not fit into the reservation.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        assert_fits(offset, bytes.len(), self.len);
        // A forked child does not have the mapping.
        if self.writer.is_ours() {
            self.writer.write_at(self.claimed, offset, bytes);
        }
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
        if self.writer.is_ours() {
            self.writer.commit(self.claimed, len, self.kind);
        }
    }
}

/// Panics unless so many bytes at `offset` lie in a room of `room` bytes.
pub(crate) fn assert_fits(offset: usize, bytes: usize, room: usize) {
    let fits = offset.checked_add(bytes).is_some_and(|end| end <= room);
    assert!(fits, "{bytes} bytes at {offset} do not fit into {room}");
}

/// Writes one after the other, up to the length reserved.
impl<W: RecordWriter> io::Write for Reservation<'_, W> {
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
