//! The header word in front of each record of a ring.
//!
//! ```text
//! bit  0..32  payload length in bytes
//! bit 32..48  kind, the application's own
//! bit 48      COMMITTED, so that a committed header is never zero
//! bit 49      PADDING: nothing to read; it closes the end of the buffer
//! bit 50..64  reserved, zero
//! ```
//! Behind it lies the payload, padded to a multiple of 8. A zero word means: not committed yet.

use super::round_up;

/// Bytes of the header word.
pub(crate) const HEADER: u64 = 8;
const COMMITTED: u64 = 1 << 48;
const PADDING: u64 = 1 << 49;
const RESERVED: u64 = !((1 << 50) - 1);

/// A header that was read once and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of payload.
    pub(crate) len: u32,
    /// The application's own.
    pub(crate) kind: u16,
    /// Nothing to read.
    pub(crate) padding: bool,
}

/// Bytes that a record with this payload takes in the buffer.
#[inline]
pub(crate) const fn total(len: u64) -> u64 {
    HEADER + round_up(len, 8)
}

/// The largest payload in a ring of this capacity: a record takes at most half of it.
pub(crate) const fn max_payload(capacity: u64) -> u64 {
    let half = capacity / 2 - HEADER;
    // The length field has 32 bits; the multiple of 8 below keeps `total` from rounding up.
    if half > 0xffff_fff8 {
        0xffff_fff8
    } else {
        half
    }
}

impl RecordHeader {
    #[inline]
    pub(crate) fn encode(len: u64, kind: u16) -> u64 {
        COMMITTED | (kind as u64) << 32 | len
    }

    /// A padding record of `total` bytes, header included.
    pub(crate) fn encode_padding(total: u64) -> u64 {
        COMMITTED | PADDING | (total - HEADER)
    }

    /// Checks a non-zero header word found `to_end` bytes before the end of a buffer of `capacity`
    /// bytes; `None` for a word that no producer writes there.
    #[inline]
    pub(crate) fn decode(word: u64, to_end: u64, capacity: u64) -> Option<RecordHeader> {
        let header = RecordHeader {
            len: word as u32,
            kind: (word >> 32) as u16,
            padding: word & PADDING != 0,
        };
        let total = header.total();
        let fits = if header.padding {
            // It reaches the end exactly; and what did not fit there was at most half the capacity.
            total == to_end && to_end < capacity && header.len.is_multiple_of(8)
        } else {
            total <= to_end && total <= capacity / 2
        };
        (word & COMMITTED != 0 && word & RESERVED == 0 && fits).then_some(header)
    }

    #[inline]
    pub(crate) fn total(self) -> u64 {
        total(self.len as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_the_round_trip_and_is_never_zero() {
        for (len, kind) in [(0, 0), (1, 7), (2040, u16::MAX)] {
            let word = RecordHeader::encode(len, kind);
            assert_ne!(word, 0);
            let header = RecordHeader::decode(word, 4096, 4096).unwrap();
            assert_eq!(
                (header.len as u64, header.kind, header.padding),
                (len, kind, false)
            );
        }
    }

    #[test]
    fn impossible_headers_are_refused() {
        let capacity = 4096;
        for (word, to_end) in [
            (1, 4096),                             // a length without COMMITTED
            (RecordHeader::encode(2048, 0), 4096), // more than half the capacity
            (RecordHeader::encode(64, 0), 64),     // over the end
            (RecordHeader::encode(u32::MAX as u64, 0), 4096),
            (RecordHeader::encode_padding(4096), 4096), // a whole lap of padding
            (RecordHeader::encode_padding(64), 72),     // padding that ends short of the end
            (RecordHeader::encode(8, 0) | 1 << 63, 4096), // a reserved bit
            (u64::MAX, 4096),
        ] {
            assert_eq!(
                RecordHeader::decode(word, to_end, capacity),
                None,
                "{word:#x}"
            );
        }
    }
}
