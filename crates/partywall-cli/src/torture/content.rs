//! What records are made of: every byte follows from the round, who made it, and its sequence, so that torn or foreign
//! bytes are seen wherever they are.
//!
//! ```text
//!  0  u64  source     who made it
//!  8  u64  sequence   counts from 1
//! 16  u64  birth      of a guarded record: who committed its first value
//! 24  u64  check      of those, the length, and the round's key
//! 32  bytes that follow from the check
//! ```

use crate::demo::record::mix;

pub(super) const HEADER: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) source: u64,
    pub(super) sequence: u64,
    pub(super) birth: u64,
}

impl Content {
    fn check(&self, key: u64, len: usize) -> u64 {
        let words = [self.source, self.sequence, self.birth, len as u64];
        words.into_iter().fold(key, |sum, word| mix(sum ^ word))
    }

    /// Makes a record of `len` bytes, at least [`HEADER`].
    pub(super) fn compose(&self, key: u64, len: usize, out: &mut Vec<u8>) {
        let check = self.check(key, len);
        out.clear();
        for word in [self.source, self.sequence, self.birth, check] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for number in 0..(len - HEADER).div_ceil(8) as u64 {
            out.extend_from_slice(&body(check, number));
        }
        out.truncate(len);
    }

    /// `None` if a single byte is not as it must be.
    pub(super) fn verify(key: u64, record: &[u8]) -> Option<Content> {
        let header = record.first_chunk::<HEADER>()?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| header[at + i]));
        let content = Content {
            source: word(0),
            sequence: word(8),
            birth: word(16),
        };
        let check = content.check(key, record.len());
        let right = word(24) == check
            && record[HEADER..]
                .chunks(8)
                .zip(0..)
                .all(|(bytes, number)| *bytes == body(check, number)[..bytes.len()]);
        right.then_some(content)
    }
}

fn body(check: u64, number: u64) -> [u8; 8] {
    mix(check ^ number).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_bit_anywhere_is_seen() {
        let content = Content {
            source: 7,
            sequence: 3,
            birth: 0,
        };
        for len in [HEADER, 33, 47, 48, 100] {
            let mut record = Vec::new();
            content.compose(1, len, &mut record);
            assert_eq!(record.len(), len);
            assert_eq!(Content::verify(1, &record), Some(content));
            assert_eq!(Content::verify(2, &record), None, "another round's");
            assert_eq!(Content::verify(1, &record[..len - 1]), None, "cut");
            for at in 0..len {
                record[at] ^= 0x10;
                assert_eq!(Content::verify(1, &record), None, "byte {at} of {len}");
                record[at] ^= 0x10;
            }
        }
    }
}
