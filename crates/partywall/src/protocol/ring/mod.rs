//! The ring: one producer, one to 64 reliable consumers, records of varying length, nothing lost.
//!
//! # In words
//!
//! Positions are bytes and only grow; `position & (capacity - 1)` is the index into the data. Each record
//! is a header word and a payload, padded to 8, and never wraps: a padding record closes the end.
//!
//! **A record is safe to read from the moment at which its own header word is non-zero.** The header is
//! stored Release after the payload and after the header that will *follow* was zeroed; a consumer's
//! Acquire load of a non-zero header therefore sees the whole payload, and a zero in the next header until
//! that record is committed too (label `ring-commit`).
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

use std::sync::atomic::Ordering;

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

impl Shape {
    /// Where the byte at `position` lies in the owner side.
    #[inline(always)]
    pub(crate) fn data(self, position: u64) -> u64 {
        ring::PAYLOAD_OFFSET + (position & (self.capacity - 1))
    }

    /// Bytes from `position` to the end of the buffer.
    #[inline(always)]
    pub(crate) fn to_end(self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }
}

/// Looks at the header at `position`: `None` if nothing is committed there yet.
#[inline(always)]
pub(crate) fn header_at(
    owner: &impl Shared,
    shape: &Shape,
    position: u64,
) -> Result<Option<RecordHeader>, Lie> {
    // SYNC ring-commit
    let word = owner.load(shape.data(position), Ordering::Acquire);
    if word == 0 {
        return Ok(None);
    }
    match RecordHeader::decode(word, shape.to_end(position), shape.capacity) {
        Some(header) => Ok(Some(header)),
        None => Err(Lie {
            word: "record header",
            place: position,
            expected: "COMMITTED, a length that fits, reserved bits zero",
            found: word,
        }),
    }
}

/// How a walk over committed records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The first position that is not committed.
    pub(crate) end: u64,
    /// Records passed, padding not counted.
    pub(crate) records: u64,
}

/// Walks from `from` to the first header that is not committed. The caller makes sure that nothing between
/// is overwritten meanwhile, or takes a wrong header for what it is: an error.
pub(crate) fn walk(owner: &impl Shared, shape: &Shape, from: u64) -> Result<Walked, Lie> {
    let mut walked = Walked {
        end: from,
        records: 0,
    };
    while let Some(header) = header_at(owner, shape, walked.end)? {
        walked.end = walked.end.wrapping_add(header.total());
        walked.records += u64::from(!header.padding);
        // The zero header behind the newest record is never part of a committed one, so an honest ring
        // is shorter than a lap; a longer chain is a circle.
        if walked.end.wrapping_sub(from) >= shape.capacity {
            return Err(Lie {
                word: "chain of record headers",
                place: from,
                expected: "a header of zero within one lap",
                found: walked.end,
            });
        }
    }
    Ok(walked)
}
