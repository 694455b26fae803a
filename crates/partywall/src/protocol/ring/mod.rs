//! The ring: one producer, one to 64 reliable consumers, records of varying length, nothing lost.
//!
//! # In words
//!
//! The data is a [buffer](super::buffer) with one writer: what a record is, and from when it is safe to read, stands
//! there.
//!
//! **A byte is safe to overwrite once every seat's `read_seq` has passed it.** Consumers store it Release
//! after they have used the bytes, the producer loads it Acquire (label `ring-release`). The producer needs
//! eight bytes more than the record: the header that follows is zeroed before the commit, and in a full
//! ring it would be the oldest unread record's.
//!
//! **Joining.** A joiner says JOINING, fences, and takes `write_seq` as its first position; the producer,
//! before it raises its limit, fences and reads the seats. One of the two fences comes first: either the
//! producer sees JOINING and does not raise the limit, or the joiner sees a `write_seq` at least as late as
//! the one from which the limit was computed (label `ring-join`).
//!
//! **Death.** Whatever a producer does between two commits is invisible: the header is zero. A successor
//! walks from `write_seq` over committed records to the first zero header and goes on there. Where a
//! consumer dies, its seat holds the producer back until somebody, under the seat's lock, evicts it or
//! takes it over; what it left unread is counted in the store that decides it.

pub(crate) mod consumer;
pub(crate) mod producer;
pub(crate) mod seats;

use super::buffer::{self, Buffer, Walked};
use crate::layout::{record::RecordHeader, ring};
use crate::memory::Shared;
use crate::protocol::Lie;

/// A generation's geometry: read once from a header that was checked, and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of data, a power of two.
    pub(crate) capacity: u64,
    /// Seats.
    pub(crate) seats: u32,
    /// The position at which the generation begins.
    pub(crate) base: u64,
}

impl Buffer for Shape {
    #[inline(always)]
    fn offset(self) -> u64 {
        ring::PAYLOAD_OFFSET
    }

    #[inline(always)]
    fn capacity(self) -> u64 {
        self.capacity
    }
}

/// Walks from `from` to the first header that is not committed; see [`buffer::walk`].
pub(crate) fn walk(owner: &impl Shared, shape: &Shape, from: u64) -> Result<Walked, Lie> {
    buffer::walk::<RecordHeader>(owner, *shape, from)
}
