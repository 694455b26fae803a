//! A buffer of records that has one writer: what a ring and a lane of an mpsc channel have in common.
//!
//! Positions are bytes and only grow; `position & (capacity - 1)` is the index into the buffer. Each record is a
//! header word and a payload, padded to 8, and never wraps: a padding record closes the end.
//!
//! **A record is safe to read from the moment at which its own header word is non-zero.** The header is stored
//! Release after the payload and after the header that will *follow* was zeroed; an Acquire load of a non-zero
//! header therefore sees the whole payload, and a zero in the next header until that record is committed too
//! (label `record-commit`).
//!
//! **Room.** A commit needs eight bytes more than the record, for the header that it zeroes: in a full buffer that
//! would be the oldest unread record's. Whoever raises the limit of a [`BufferWriter`] takes them off.
//!
//! **Death.** Whatever a writer does between two commits is invisible: the header is zero. A successor walks over
//! committed records to the first zero header and goes on there.

mod writer;

pub(crate) use writer::{BufferWriter, Claimed, Mark, Pending};

use std::sync::atomic::Ordering;

use crate::layout::record::{self, Header, RecordHeader};
use crate::memory::Shared;
use crate::protocol::Lie;

/// Where a buffer lies in its segment: from a header that was checked.
pub(crate) trait Buffer: Copy {
    /// Offset of the buffer's first byte, a multiple of 8.
    fn offset(self) -> u64;

    /// Bytes, a power of two.
    fn capacity(self) -> u64;

    /// Where the byte at `position` lies in the segment.
    #[inline(always)]
    fn data(self, position: u64) -> u64 {
        self.offset() + (position & (self.capacity() - 1))
    }

    /// Bytes from `position` to the end of the buffer.
    #[inline(always)]
    fn to_end(self, position: u64) -> u64 {
        self.capacity() - (position & (self.capacity() - 1))
    }
}

/// Looks at the header at `position`: `None` if nothing is committed there yet.
#[inline(always)]
pub(crate) fn header_at<H: Header>(
    memory: &impl Shared,
    buffer: impl Buffer,
    position: u64,
) -> Result<Option<H>, Lie> {
    // SYNC record-commit
    let word = memory.load(buffer.data(position), Ordering::Acquire);
    if word == 0 {
        return Ok(None);
    }
    match H::decode(word, buffer.to_end(position), buffer.capacity()) {
        Some(header) => Ok(Some(header)),
        None => Err(Lie {
            word: "record header",
            place: position,
            expected: "COMMITTED, a length that fits, reserved bits zero",
            found: word,
        }),
    }
}

/// The next header that is not padding, at `position` or, where that is padding, behind it: then `position` goes
/// there.
#[inline(always)]
pub(crate) fn peek<H: Header>(
    memory: &impl Shared,
    buffer: impl Buffer,
    position: &mut u64,
) -> Result<Option<H>, Lie> {
    loop {
        let Some(header) = header_at::<H>(memory, buffer, *position)? else {
            return Ok(None);
        };
        if !header.is_padding() {
            return Ok(Some(header));
        }
        // Padding leads to the start of the buffer, where no padding is valid: this ends.
        *position = position.wrapping_add(header.total());
    }
}

/// A committed record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    /// Where its payload lies in the segment.
    pub(crate) payload_at: u64,
    pub(crate) len: u32,
    pub(crate) kind: u16,
    total: u64,
}

impl Found {
    #[inline(always)]
    pub(crate) fn new(buffer: impl Buffer, position: u64, header: RecordHeader) -> Self {
        Found {
            position,
            payload_at: buffer.data(position) + record::HEADER,
            len: header.len,
            kind: header.kind,
            total: header.total(),
        }
    }

    /// The position behind it.
    #[inline(always)]
    pub(crate) fn end(&self) -> u64 {
        self.position.wrapping_add(self.total)
    }
}

/// How a walk over committed records ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The first position that is not committed.
    pub(crate) end: u64,
    /// Records of the application passed.
    pub(crate) records: u64,
}

/// Walks from `from` to the first header that is not committed. The caller makes sure that nothing between
/// is overwritten meanwhile, or takes a wrong header for what it is: an error.
pub(crate) fn walk<H: Header>(
    memory: &impl Shared,
    buffer: impl Buffer,
    from: u64,
) -> Result<Walked, Lie> {
    let mut walked = Walked {
        end: from,
        records: 0,
    };
    while let Some(header) = header_at::<H>(memory, buffer, walked.end)? {
        walked.end = walked.end.wrapping_add(header.total());
        walked.records += u64::from(header.is_record());
        // The zero header behind the newest record is never part of a committed one, so an honest buffer
        // is shorter than a lap; a longer chain is a circle.
        if walked.end.wrapping_sub(from) >= buffer.capacity() {
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
