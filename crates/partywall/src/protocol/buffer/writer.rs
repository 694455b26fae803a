//! The writing side: claim room, commit, one by one or many at once.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::Buffer;
use crate::layout::record::{self, RecordHeader};
use crate::memory::SharedMut;
use crate::protocol::cursor::Cursor;

/// Room for one record, claimed and not yet committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    position: u64,
    total: u64,
}

/// Records that were written but not committed: the first one's header is still zero, so none of them can
/// be seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pending {
    /// The header word that will commit them all.
    first: Option<u64>,
    /// Bytes, padding included.
    bytes: u64,
    records: u64,
}

/// Where the writer stands, and the word by which it tells others, stored after each commit.
pub(crate) trait Mark<M> {
    /// Where the next record begins.
    fn position(&self) -> u64;

    /// Records of the application that were committed, as far as they are counted.
    fn records(&self) -> u64;

    /// Everything up to `position`, that is `records` records, is committed.
    fn publish(&mut self, memory: &M, position: u64, records: u64);
}

/// A ring says in a counted position how far it is.
impl<M: SharedMut> Mark<M> for Cursor {
    #[inline(always)]
    fn position(&self) -> u64 {
        Cursor::position(self)
    }

    #[inline(always)]
    fn records(&self) -> u64 {
        Cursor::records(self)
    }

    #[inline(always)]
    fn publish(&mut self, memory: &M, position: u64, records: u64) {
        Cursor::publish(self, memory, position, records);
    }
}

/// The one writer of a buffer.
#[derive(Debug)]
pub(crate) struct BufferWriter<M, B, K> {
    memory: M,
    buffer: B,
    mark: K,
    /// A commit may end here at most: what must stay free behind it is taken off already.
    limit: u64,
}

impl<M: SharedMut, B: Buffer, K: Mark<M>> BufferWriter<M, B, K> {
    /// A writer that must not write anything yet.
    pub(crate) fn new(memory: M, buffer: B, mark: K) -> Self {
        BufferWriter {
            limit: mark.position().wrapping_sub(record::HEADER),
            memory,
            buffer,
            mark,
        }
    }

    #[inline(always)]
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    #[inline(always)]
    pub(crate) fn buffer(&self) -> &B {
        &self.buffer
    }

    #[inline(always)]
    pub(crate) fn mark(&self) -> &K {
        &self.mark
    }

    /// Everything before `readers + capacity` may be overwritten, but for `reserve` bytes at its end. The limit
    /// never goes back: what lies before it may be written over already.
    pub(crate) fn raise_limit(&mut self, readers: u64, reserve: u64) {
        let limit = readers
            .wrapping_add(self.buffer.capacity())
            .wrapping_sub(reserve);
        if limit.wrapping_sub(self.limit) as i64 > 0 {
            self.limit = limit;
        }
    }

    /// Whether a commit may end at `end`.
    #[inline(always)]
    fn allowed(&self, end: u64) -> bool {
        self.limit.wrapping_sub(end) as i64 >= 0
    }

    /// Claims room for a record of `len` bytes, which the caller has checked against the maximum; `None` if
    /// the readers must make room first, and then nothing was stored.
    #[inline(always)]
    pub(crate) fn claim(&mut self, len: u64) -> Option<Claimed> {
        // Free on x86-64. The stores below stay behind the last store of the mark, so that a reader without
        // a seat can tell by it what may have been overwritten.
        self.memory.fence(Release);
        let total = record::total(len);
        let to_end = self.buffer.to_end(self.mark.position());
        if total > to_end && !self.commit_padding(to_end, total) {
            return None;
        }
        let position = self.mark.position();
        let end = position.wrapping_add(total);
        if !self.allowed(end) {
            return None;
        }
        self.memory.store(self.buffer.data(end), 0, Relaxed);
        Some(Claimed { position, total })
    }

    /// Closes the end of the buffer by a commit of its own, if a record of `total` bytes has room behind it: a
    /// reader that sleeps would not be told of padding alone. Where everything was read, there is room for both.
    #[cold]
    fn commit_padding(&mut self, to_end: u64, total: u64) -> bool {
        let end = self.mark.position().wrapping_add(to_end + total);
        let committed =
            self.allowed(end) && self.commit_bare(RecordHeader::encode_padding(to_end), to_end, 0);
        // As in `claim`, for the record that follows.
        self.memory.fence(Release);
        committed
    }

    /// Commits a header word that is no record of the application's and takes `total` bytes; `false` if there is
    /// no room, where `beyond` more bytes than usual may be used.
    pub(crate) fn commit_bare(&mut self, word: u64, total: u64, beyond: u64) -> bool {
        let position = self.mark.position();
        let end = position.wrapping_add(total);
        if !self.allowed(end.wrapping_sub(beyond)) {
            return false;
        }
        self.memory.store(self.buffer.data(end), 0, Relaxed);
        self.memory.store(self.buffer.data(position), word, Release); // SYNC record-commit
        let records = self.mark.records();
        self.mark.publish(&self.memory, end, records);
        true
    }

    /// Where the payload of a claimed record lies in the segment.
    #[inline(always)]
    pub(crate) fn payload_at(&self, claimed: Claimed) -> u64 {
        self.buffer.data(claimed.position) + record::HEADER
    }

    /// Commits a claimed record with a payload of `len` bytes, at most as many as were claimed.
    #[inline(always)]
    pub(crate) fn commit(&mut self, claimed: Claimed, len: u64, kind: u16) {
        let total = record::total(len);
        if total < claimed.total {
            // Payload bytes of the longer reservation stand where the next header will be looked for.
            let next = claimed.position.wrapping_add(total);
            self.memory.store(self.buffer.data(next), 0, Relaxed);
        }
        // SYNC record-commit: publishes the payload and the zero in the header that follows. From here on
        // the record is safe to read.
        let word = RecordHeader::encode(len, kind);
        self.memory
            .store(self.buffer.data(claimed.position), word, Release);
        let end = claimed.position.wrapping_add(total);
        let records = self.mark.records().wrapping_add(1);
        self.mark.publish(&self.memory, end, records);
    }

    /// Adds a record behind those that are pending; `false` if there is no room (commit, then try again).
    #[inline(always)]
    pub(crate) fn push(&mut self, pending: &mut Pending, kind: u16, payload: &[u8]) -> bool {
        // As in `claim`.
        self.memory.fence(Release);
        let len = payload.len() as u64;
        let total = record::total(len);
        let mut position = self.mark.position().wrapping_add(pending.bytes);
        let to_end = self.buffer.to_end(position);
        let padding = if total > to_end { to_end } else { 0 };
        if !self.allowed(position.wrapping_add(padding + total)) {
            return false;
        }
        if padding > 0 {
            let end = position.wrapping_add(padding);
            self.put_header(
                pending,
                position,
                end,
                RecordHeader::encode_padding(padding),
            );
            position = end;
        }
        let end = position.wrapping_add(total);
        // Header, payload, next header: everything ascends through the memory.
        self.put_header(pending, position, end, RecordHeader::encode(len, kind));
        let payload_at = self.buffer.data(position) + record::HEADER;
        self.memory.copy_in(payload_at, payload);
        pending.records += 1;
        true
    }

    /// Writes a header that nobody can reach yet, for the first one of the batch is still zero.
    #[inline(always)]
    fn put_header(&self, pending: &mut Pending, position: u64, end: u64, word: u64) {
        match pending.first {
            None => pending.first = Some(word),
            Some(_) => self.memory.store(self.buffer.data(position), word, Relaxed),
        }
        pending.bytes = end.wrapping_sub(self.mark.position());
    }

    /// Commits everything pending by one store; how many records.
    #[inline(always)]
    pub(crate) fn commit_pending(&mut self, pending: &mut Pending) -> u64 {
        let pending = std::mem::take(pending);
        if let Some(word) = pending.first {
            let position = self.mark.position();
            let end = position.wrapping_add(pending.bytes);
            self.memory.store(self.buffer.data(end), 0, Relaxed);
            // SYNC record-commit: publishes every record of the batch and the zero behind the last.
            self.memory.store(self.buffer.data(position), word, Release);
            let records = self.mark.records().wrapping_add(pending.records);
            self.mark.publish(&self.memory, end, records);
        }
        pending.records
    }
}
