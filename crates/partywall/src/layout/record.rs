//! The header word in front of each record of a ring, or of a lane of an mpsc channel.
//!
//! ```text
//! bit  0..32  payload length in bytes
//! bit 32..48  kind, the application's own
//! bit 48      COMMITTED, so that a committed header is never zero
//! bit 49      PADDING: nothing to read; it closes the end of the buffer
//! bit 50      CONTROL, in lanes only: the sender itself speaks, and bits 0..48 are its epoch
//! bit 51      BYE, with CONTROL only: the sender leaves; without it, it has come
//! bit 52..64  reserved, zero
//! ```
//! Behind it lies the payload, padded to a multiple of 8. A zero word means: not committed yet. A control record is
//! its header word and nothing more, so it fits wherever a header does.

use super::round_up;

/// Bytes of the header word.
pub(crate) const HEADER: u64 = 8;
const COMMITTED: u64 = 1 << 48;
const PADDING: u64 = 1 << 49;
const CONTROL: u64 = 1 << 50;
const BYE: u64 = 1 << 51;
/// What a record's header has nothing of.
const RESERVED: u64 = !((1 << 50) - 1);
/// The epoch in a control record.
const EPOCH: u64 = (1 << 48) - 1;

/// What may stand at a position of a buffer.
pub(crate) trait Header: Copy {
    /// Checks a non-zero header word found `to_end` bytes before the end of a buffer of `capacity`
    /// bytes; `None` for a word that no writer of such a buffer stores there.
    fn decode(word: u64, to_end: u64, capacity: u64) -> Option<Self>;

    /// Bytes that it takes in the buffer.
    fn total(self) -> u64;

    /// Nothing to read.
    fn is_padding(self) -> bool;

    /// A record of the application's.
    fn is_record(self) -> bool;
}

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
}

impl Header for RecordHeader {
    #[inline]
    fn decode(word: u64, to_end: u64, capacity: u64) -> Option<RecordHeader> {
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
    fn total(self) -> u64 {
        total(self.len as u64)
    }

    #[inline]
    fn is_padding(self) -> bool {
        self.padding
    }

    #[inline]
    fn is_record(self) -> bool {
        !self.padding
    }
}

/// What a sender says of itself, between the records of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// The holder of this epoch has come; what follows is its own.
    Hello(u64),
    /// The holder of this epoch leaves in an orderly way.
    Bye(u64),
}

impl Control {
    pub(crate) fn encode(self) -> u64 {
        let (flag, epoch) = match self {
            Control::Hello(epoch) => (0, epoch),
            Control::Bye(epoch) => (BYE, epoch),
        };
        COMMITTED | CONTROL | flag | (epoch & EPOCH)
    }
}

/// What may stand in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneHeader {
    Record(RecordHeader),
    Control(Control),
}

impl Header for LaneHeader {
    #[inline]
    fn decode(word: u64, to_end: u64, capacity: u64) -> Option<LaneHeader> {
        if word & CONTROL == 0 {
            return RecordHeader::decode(word, to_end, capacity).map(LaneHeader::Record);
        }
        let epoch = word & EPOCH;
        match word & !EPOCH {
            // Epochs begin at 1.
            _ if epoch == 0 => None,
            flags if flags == COMMITTED | CONTROL => {
                Some(LaneHeader::Control(Control::Hello(epoch)))
            }
            flags if flags == COMMITTED | CONTROL | BYE => {
                Some(LaneHeader::Control(Control::Bye(epoch)))
            }
            _ => None,
        }
    }

    #[inline]
    fn total(self) -> u64 {
        match self {
            LaneHeader::Record(header) => header.total(),
            LaneHeader::Control(_) => HEADER,
        }
    }

    #[inline]
    fn is_padding(self) -> bool {
        matches!(self, LaneHeader::Record(header) if header.padding)
    }

    #[inline]
    fn is_record(self) -> bool {
        matches!(self, LaneHeader::Record(header) if !header.padding)
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
    fn control_records_are_lanes_alone() {
        for control in [Control::Hello(1), Control::Bye(1), Control::Hello(EPOCH)] {
            let word = control.encode();
            assert_eq!(
                LaneHeader::decode(word, 8, 4096),
                Some(LaneHeader::Control(control))
            );
            assert_eq!(RecordHeader::decode(word, 4096, 4096), None);
            for wrong in [
                word | PADDING,
                word & !COMMITTED,
                word | 1 << 52,
                word & !EPOCH,
            ] {
                assert_eq!(LaneHeader::decode(wrong, 4096, 4096), None, "{wrong:#x}");
            }
        }
        assert_eq!(
            LaneHeader::decode(RecordHeader::encode(8, 0) | BYE, 4096, 4096),
            None
        );
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
