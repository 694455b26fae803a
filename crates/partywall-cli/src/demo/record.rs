//! How every record of the demo begins, whatever its pattern.
//!
//! ```text
//!  0  u64  magic       "PWDEMO01"
//!  8  u64  sequence    how many records of its stream were committed before this one
//! 16  u64  stamp_ns    CLOCK_MONOTONIC when the record was complete, just before the commit
//! 24  u64  length      bytes of content that follow the header
//! 32  u64  checksum    of the content (XXH3-64); 0 for made content, whose every byte is known
//! 40  u32  run         which process of its writer sent it: 1, then one more for each restart
//! 44  u32  content     0 made, 1 from a file
//! 48  u32  writer      its number in the cast
//! 52  u32  last        1: the last one of its writer
//! 56  8 bytes          zero
//! 64  content
//! ```
//!
//! A stream is all that a channel brings; where processes send side by side, each one's records are a stream.
//! All numbers are little-endian. Made content is compared byte for byte with what the sequence number says
//! it must be, so that a single byte of another record cannot go unnoticed.

pub(super) const HEADER: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"PWDEMO01");
const MADE: u32 = 0;
const FROM_FILE: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) stamp_ns: u64,
    pub(super) length: u64,
    /// `None`: made content.
    pub(super) checksum: Option<u64>,
    pub(super) run: u32,
    pub(super) writer: u32,
    pub(super) last: bool,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        let words = [
            MAGIC,
            self.sequence,
            self.stamp_ns,
            self.length,
            self.checksum.unwrap_or(0),
        ];
        for (slot, word) in out.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let content = if self.checksum.is_some() {
            FROM_FILE
        } else {
            MADE
        };
        let halves = [self.run, content, self.writer, u32::from(self.last)];
        for (slot, half) in out[40..56].chunks_exact_mut(4).zip(halves) {
            slot.copy_from_slice(&half.to_le_bytes());
        }
        out
    }

    /// `None` if these bytes are not a whole record.
    pub(super) fn decode(record: &[u8]) -> Option<Header> {
        let header = record.first_chunk::<HEADER>()?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let checksum = match half(44) {
            MADE if word(32) == 0 => None,
            FROM_FILE => Some(word(32)),
            _ => return None,
        };
        let decoded = Header {
            sequence: word(8),
            stamp_ns: word(16),
            length: word(24),
            checksum,
            run: half(40),
            writer: half(48),
            last: half(52) == 1,
        };
        let whole = word(0) == MAGIC
            && half(52) <= 1
            && word(56) == 0
            && decoded.length == (record.len() - HEADER) as u64;
        whole.then_some(decoded)
    }
}

/// Numbers that look like chance and are not: a bijection (splitmix64), so that no two records begin alike.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            sequence: 7,
            stamp_ns: 8,
            length: 100,
            checksum: None,
            run: 2,
            writer: 1,
            last: true,
        }
    }

    fn record(header: &Header) -> Vec<u8> {
        let mut record = header.encode().to_vec();
        record.resize(HEADER + header.length as usize, 0);
        record
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let made = header();
        assert_eq!(Header::decode(&record(&made)), Some(made));
        let from_file = Header {
            checksum: Some(9),
            last: false,
            ..made
        };
        assert_eq!(Header::decode(&record(&from_file)), Some(from_file));
    }

    #[test]
    fn a_header_that_lies_about_the_length_is_no_record() {
        let mut cut = record(&header());
        cut.pop();
        assert_eq!(Header::decode(&cut), None);
        assert_eq!(Header::decode(&cut[..HEADER - 1]), None);
    }

    #[test]
    fn bytes_that_mean_nothing_must_be_zero() {
        for at in [0, 32, 44, 52, 56, 63] {
            let mut bad = record(&header());
            bad[at] ^= 0x80;
            assert_eq!(Header::decode(&bad), None, "byte {at}");
        }
    }
}
