//! What one frame looks like, and how a consumer finds out whether it got all of it.
//!
//! ```text
//!  0  u64  magic       "PWFRAME1"
//!  8  u64  sequence    how many frames were committed before this one, by all producers
//! 16  u64  stamp_ns    CLOCK_MONOTONIC when the frame was complete, just before the commit
//! 24  u64  length      bytes of content that follow the header
//! 32  u64  checksum    of the content (XXH3-64); 0 for made frames, whose every byte is known
//! 40  u32  run         which producer process sent it: 1, then one more for each restart
//! 44  u32  content     0 made, 1 from a file
//! 48  16 bytes         zero
//! 64  content
//! ```
//!
//! All numbers are little-endian. Made frames are compared byte for byte with what the sequence
//! number says they must hold, so that a single byte of another frame cannot go unnoticed.

use xxhash_rust::xxh3::Xxh3;

pub(super) const HEADER: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"PWFRAME1");
const MADE: u32 = 0;
const FROM_FILE: u32 = 1;

/// Between neighbouring words of a made frame. Odd, so that no two words of a frame are equal.
const STEP: u64 = 0x0001_0203_0507_0b0d;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence: u64,
    pub(super) stamp_ns: u64,
    pub(super) length: u64,
    /// `None`: a made frame.
    pub(super) checksum: Option<u64>,
    pub(super) run: u32,
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
        out[40..44].copy_from_slice(&self.run.to_le_bytes());
        out[44..48].copy_from_slice(&content.to_le_bytes());
        out
    }

    /// `None` if these bytes are not a whole frame.
    pub(super) fn decode(frame: &[u8]) -> Option<Header> {
        let header = frame.first_chunk::<HEADER>()?;
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
        };
        let whole = word(0) == MAGIC
            && header[48..].iter().all(|&byte| byte == 0)
            && decoded.length == (frame.len() - HEADER) as u64;
        whole.then_some(decoded)
    }

    /// Reads the whole content, and says whether it is what was sent.
    pub(super) fn verifies(&self, content: &[u8]) -> bool {
        match self.checksum {
            Some(checksum) => {
                let mut hash = Xxh3::new();
                hash.update(content);
                hash.digest() == checksum
            }
            None => made_matches(self.sequence, content),
        }
    }
}

/// The first word of a made frame. A bijection (splitmix64), so no two frames share a word place
/// by place.
fn first_word(sequence: u64) -> u64 {
    let mut z = sequence.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills `part` with what a made frame holds from byte `offset` on, a multiple of 8.
pub(super) fn make(sequence: u64, offset: usize, part: &mut [u8]) {
    debug_assert_eq!(offset % 8, 0);
    let first = first_word(sequence).wrapping_add((offset as u64 / 8).wrapping_mul(STEP));
    let mut words = part.chunks_exact_mut(8);
    let mut word = first;
    for slot in &mut words {
        slot.copy_from_slice(&word.to_le_bytes());
        word = word.wrapping_add(STEP);
    }
    let rest = words.into_remainder();
    let bytes = word.to_le_bytes();
    rest.copy_from_slice(&bytes[..rest.len()]);
}

fn made_matches(sequence: u64, content: &[u8]) -> bool {
    // No early return: a loop without branches is compared at the speed of the memory.
    let mut difference = 0;
    let mut words = content.chunks_exact(8);
    let mut word = first_word(sequence);
    for slot in &mut words {
        difference |= word ^ u64::from_le_bytes(std::array::from_fn(|i| slot[i]));
        word = word.wrapping_add(STEP);
    }
    let rest = words.remainder();
    difference == 0 && *rest == word.to_le_bytes()[..rest.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u64, length: usize) -> Vec<u8> {
        let header = Header {
            sequence,
            stamp_ns: 7,
            length: length as u64,
            checksum: None,
            run: 1,
        };
        let mut frame = header.encode().to_vec();
        frame.resize(HEADER + length, 0);
        make(sequence, 0, &mut frame[HEADER..]);
        frame
    }

    #[test]
    fn made_frames_verify_whatever_their_size() {
        for length in [0, 1, 7, 8, 9, 4096, 10_007] {
            let frame = frame(3, length);
            let header = Header::decode(&frame).expect("a whole frame");
            assert_eq!(header.sequence, 3);
            assert!(header.verifies(&frame[HEADER..]), "length {length}");
        }
    }

    #[test]
    fn a_frame_made_in_parts_is_the_frame_made_at_once() {
        let whole = frame(9, 1003);
        let mut parts = vec![0; 1003];
        for (index, part) in parts.chunks_mut(64).enumerate() {
            make(9, index * 64, part);
        }
        assert_eq!(whole[HEADER..], parts[..]);
    }

    #[test]
    fn a_single_changed_byte_is_noticed() {
        let good = frame(5, 203);
        for at in HEADER..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let header = Header::decode(&bad).expect("the header is untouched");
            assert!(!header.verifies(&bad[HEADER..]), "byte {at}");
        }
    }

    #[test]
    fn half_of_another_frame_is_noticed_word_by_word() {
        let (one, other) = (frame(5, 800), frame(6, 800));
        for at in (HEADER..one.len()).step_by(8) {
            let mut mixed = one.clone();
            mixed[at..at + 8].copy_from_slice(&other[at..at + 8]);
            assert!(
                !Header::decode(&mixed)
                    .expect("whole")
                    .verifies(&mixed[HEADER..])
            );
        }
    }

    #[test]
    fn a_header_that_lies_about_the_length_is_no_frame() {
        let mut cut = frame(5, 800);
        cut.pop();
        assert_eq!(Header::decode(&cut), None);
        assert_eq!(Header::decode(&cut[..HEADER - 1]), None);
    }

    #[test]
    fn content_of_a_file_is_held_against_its_checksum() {
        let content = vec![42; 5000];
        let mut hash = Xxh3::new();
        hash.update(&content);
        let header = Header {
            sequence: 1,
            stamp_ns: 2,
            length: 5000,
            checksum: Some(hash.digest()),
            run: 2,
        };
        let mut frame = header.encode().to_vec();
        frame.extend(&content);
        assert_eq!(Header::decode(&frame), Some(header));
        assert!(header.verifies(&content));
        frame[HEADER + 4999] = 41;
        assert!(!header.verifies(&frame[HEADER..]));
    }
}
