//! What one frame holds, and how a watcher finds out whether it got all of it.

use super::record::{Header, mix};
use super::source::Source;
use crate::os;
use std::fs::File;
use std::io;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Content is made in pieces that stay in the first-level cache until they are copied out.
const PIECE: usize = 16 * 1024;

/// Between neighbouring words of a made frame. Odd, so that no two words of a frame are equal.
const STEP: u64 = 0x0001_0203_0507_0b0d;

/// Where a camera has its frames from.
#[derive(Debug)]
pub(super) struct Film {
    source: Source,
    file: Option<File>,
    piece: Vec<u8>,
}

impl Film {
    pub(super) fn open(source: &Source) -> io::Result<Film> {
        let file = match source {
            Source::Made { .. } => None,
            Source::File { path, .. } => Some(File::open(path)?),
        };
        Ok(Film {
            source: source.clone(),
            file,
            piece: vec![0; PIECE],
        })
    }

    /// Bytes of each frame.
    pub(super) fn frame_size(&self) -> usize {
        self.source.frame_size()
    }

    /// Develops frame `sequence`, piece by piece; the checksum of one from a file. A corrupt one has a wrong byte.
    pub(super) fn develop(
        &mut self,
        sequence: u64,
        corrupt: bool,
        mut write_at: impl FnMut(usize, &[u8]),
    ) -> io::Result<Option<u64>> {
        let length = self.frame_size();
        let mut hash = Xxh3::new();
        let mut piece = std::mem::take(&mut self.piece);
        let developed = (0..length).step_by(PIECE).try_for_each(|offset| {
            let part = &mut piece[..PIECE.min(length - offset)];
            self.expose(sequence, offset, corrupt, part, &mut hash)?;
            write_at(offset, part);
            Ok(())
        });
        self.piece = piece;
        developed.map(|()| self.checksum(&hash))
    }

    /// Develops frame `sequence` where it will be looked at, without a copy.
    pub(super) fn develop_in_place(
        &self,
        sequence: u64,
        corrupt: bool,
        frame: &mut [u8],
    ) -> io::Result<Option<u64>> {
        let mut hash = Xxh3::new();
        for (index, part) in frame.chunks_mut(PIECE).enumerate() {
            self.expose(sequence, index * PIECE, corrupt, part, &mut hash)?;
        }
        Ok(self.checksum(&hash))
    }

    /// Fills the part of a frame that begins at `offset`.
    fn expose(
        &self,
        sequence: u64,
        offset: usize,
        corrupt: bool,
        part: &mut [u8],
        hash: &mut Xxh3,
    ) -> io::Result<()> {
        if let (Some(file), Source::File { frames, .. }) = (&self.file, &self.source) {
            let frame = (sequence % frames) * self.frame_size() as u64;
            os::read_exact_at(file, part, frame + offset as u64)?;
            hash.update(part);
        } else {
            make(sequence, offset, part);
        }
        if corrupt && offset == 0 {
            part[0] ^= 1;
        }
        Ok(())
    }

    fn checksum(&self, hash: &Xxh3) -> Option<u64> {
        self.file.is_some().then(|| hash.digest())
    }
}

/// Fills `part` with what a made frame holds from byte `offset` on, a multiple of 8.
fn make(sequence: u64, offset: usize, part: &mut [u8]) {
    debug_assert_eq!(offset % 8, 0);
    let first = mix(sequence).wrapping_add((offset as u64 / 8).wrapping_mul(STEP));
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

/// Reads the whole content, and says whether it is what was sent.
pub(super) fn matches(header: &Header, content: &[u8]) -> bool {
    match header.checksum {
        Some(checksum) => xxh3_64(content) == checksum,
        None => made_matches(header.sequence, content),
    }
}

fn made_matches(sequence: u64, content: &[u8]) -> bool {
    // No early return: a loop without branches is compared at the speed of the memory.
    let mut difference = 0;
    let mut words = content.chunks_exact(8);
    let mut word = mix(sequence);
    for slot in &mut words {
        difference |= word ^ u64::from_le_bytes(std::array::from_fn(|i| slot[i]));
        word = word.wrapping_add(STEP);
    }
    let rest = words.remainder();
    difference == 0 && *rest == word.to_le_bytes()[..rest.len()]
}

#[cfg(test)]
mod tests {
    use super::super::source::FrameSize;
    use super::*;
    use std::io::Write;

    fn frame(sequence: u64, length: usize) -> Vec<u8> {
        let mut content = vec![0; length];
        make(sequence, 0, &mut content);
        content
    }

    #[test]
    fn made_frames_verify_whatever_their_size() {
        for length in [0, 1, 7, 8, 9, 4096, 10_007] {
            assert!(made_matches(3, &frame(3, length)), "length {length}");
        }
    }

    #[test]
    fn a_frame_made_in_parts_is_the_frame_made_at_once() {
        let whole = frame(9, 1003);
        let mut parts = vec![0; 1003];
        for (index, part) in parts.chunks_mut(64).enumerate() {
            make(9, index * 64, part);
        }
        assert_eq!(whole, parts);
    }

    #[test]
    fn a_single_changed_byte_is_noticed() {
        let good = frame(5, 203);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!made_matches(5, &bad), "byte {at}");
        }
    }

    #[test]
    fn half_of_another_frame_is_noticed_word_by_word() {
        let (one, other) = (frame(5, 800), frame(6, 800));
        for at in (0..one.len()).step_by(8) {
            let mut mixed = one.clone();
            mixed[at..at + 8].copy_from_slice(&other[at..at + 8]);
            assert!(!made_matches(5, &mixed), "byte {at}");
        }
    }

    #[test]
    fn content_of_a_file_is_held_against_its_checksum() {
        let mut video = tempfile::NamedTempFile::new().expect("a file");
        let content: Vec<u8> = (0..3 * 20_000_u32).map(|n| ((n * n) >> 7) as u8).collect();
        video.write_all(&content).expect("written");
        let mut film = Film::open(&Source::File {
            path: video.path().to_owned(),
            frame_size: FrameSize {
                bytes: 20_000,
                image: None,
            },
            frames: 3,
        })
        .expect("it is there");
        let mut develop = |sequence, corrupt| {
            let mut frame = vec![0; 20_000];
            let checksum = film
                .develop(sequence, corrupt, |at, part| {
                    frame[at..at + part.len()].copy_from_slice(part);
                })
                .expect("read");
            let header = Header {
                sequence,
                stamp_ns: 1,
                length: 20_000,
                checksum,
                run: 1,
                writer: 0,
                last: false,
            };
            (header, frame)
        };
        let (header, frame) = develop(4, false);
        assert_eq!(frame, content[20_000..40_000]);
        assert!(matches(&header, &frame));
        let (header, frame) = develop(4, true);
        assert!(!matches(&header, &frame));
        let mut in_place = vec![0; 20_000];
        let checksum = film.develop_in_place(4, true, &mut in_place).expect("read");
        assert_eq!((checksum, in_place), (header.checksum, frame));
    }
}
