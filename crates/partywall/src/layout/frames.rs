//! Frames: a pool of slots for large buffers, one word for each slot, and a ring of descriptors that say which
//! frame lies where.
//!
//! ```text
//! 0      header, words of every pattern, and those of this block
//! 4096   slot words, 8 bytes each
//! 8192   descriptors, 64 bytes each
//! 24576  slots
//! ```
//! The tables have room for the most slots that there can be, so that everything but the slots lies at a fixed
//! place. A header says `record_size`, the largest frame, and `payload_size`, all of it from 4096 on; how many slots
//! there are follows. Of the descriptors so many are used as there are slots, rounded up to a power of two.

use super::geometry::Impossible;
use super::{LINE, PAGE, header, owner, round_up};

block! {
    /// The owner's words of this pattern, which do not change in a generation; offsets from the start of the segment.
    FRAMES, "frames (owner side)", owner::SIZE;
    /// The newest frames, so many, are never written over.
    HISTORY: [4; Owner] = owner::PATTERN_WORDS;
    /// Frames that each subscriber may hold at once.
    HELD: [4; Owner] = owner::PATTERN_WORDS + 4;
    /// Frames that the publisher may have in hand at once.
    LOANS: [4; Owner] = owner::PATTERN_WORDS + 8;
}

block! {
    /// One frame: which, where, what. Offsets from the start of the descriptor.
    DESCRIPTOR, "descriptor", DESCRIPTOR_SIZE;
    /// `2s` when it describes frame s, `2s - 1` while that is being written, 0 before the first.
    MARK: [8; Owner] = 0;
    /// `CLOCK_BOOTTIME` in nanoseconds, or a time of the application's own; 0 for none.
    TIME_NS: [8; Owner] = 8;
    /// Bytes from the start of the segment to the frame; 0 is no frame's.
    OFFSET: [8; Owner] = 16;
    /// Bytes of the frame.
    LENGTH: [4; Owner] = 24;
    /// The application's own.
    KIND: [2; Owner] = 28;
    /// What the bytes are: see [`content`].
    CONTENT: [2; Owner] = 30;
    /// Images: pixels in a row. Audio: samples of a channel. Batches: records.
    WIDTH: [4; Owner] = 32;
    /// Images: rows. Audio: channels. Batches: bytes of a record; 0 if they vary.
    HEIGHT: [4; Owner] = 36;
    /// Images: bytes from row to row. Audio: samples a second.
    STRIDE: [4; Owner] = 40;
    /// Images and audio: see [`format`].
    FORMAT: [4; Owner] = 44;
    /// The application's own.
    USER: [16; Owner] = 48;
}

/// Bytes of a descriptor: one line, so that it crosses to another core at once.
pub(crate) const DESCRIPTOR_SIZE: u64 = LINE / 2;
/// Length, kind and content are stored and loaded as one word, which begins with the length.
pub(crate) const INFO: u64 = LENGTH;
/// Width, height, stride, format and the application's bytes: copied as they are.
pub(crate) const ABOUT: u64 = WIDTH;
/// Bytes of that.
pub(crate) const ABOUT_SIZE: usize = 32;

/// The most slots: each seat has a bit for each.
pub(crate) const MAX_SLOTS: u32 = 256;
/// The largest frame, in bytes.
pub(crate) const MAX_FRAME: u32 = 1 << 30;
/// Where the payload begins, with the slots' words.
pub(crate) const SLOT_WORDS: u64 = owner::SIZE;
/// Where the descriptors begin.
pub(crate) const DESCRIPTORS: u64 = SLOT_WORDS + PAGE;
/// Where the slots begin.
pub(crate) const DATA: u64 = DESCRIPTORS + MAX_SLOTS as u64 * DESCRIPTOR_SIZE;
/// Bytes of the payload before the slots.
const TABLES: u64 = DATA - SLOT_WORDS;

const _: () = assert!(MAX_SLOTS as u64 * 8 <= PAGE && DATA.is_multiple_of(PAGE));

/// Bytes from slot to slot: whole pages where a frame can fill one, else whole lines.
pub(crate) const fn stride(frame: u32) -> u64 {
    let frame = frame as u64;
    round_up(frame, if frame < PAGE { LINE } else { PAGE })
}

/// Bytes of payload for so many slots.
pub(crate) const fn payload_size(slots: u32, frame: u32) -> u64 {
    TABLES + slots as u64 * stride(frame)
}

/// How many slots a payload has, if it can be one.
pub(crate) fn slots(payload_size: u64, frame: u32) -> Result<u32, Impossible> {
    if !(1..=MAX_FRAME).contains(&frame) {
        let expected = "1 byte to 1 GiB";
        return Err(("record_size", header::RECORD_SIZE, expected, frame.into()));
    }
    let stride = stride(frame);
    let bytes = payload_size.saturating_sub(TABLES);
    let slots = bytes / stride;
    if bytes.is_multiple_of(stride) && (2..=u64::from(MAX_SLOTS)).contains(&slots) {
        return Ok(slots as u32);
    }
    let expected = "the tables, and 2 to 256 slots for the largest frame";
    Err(("payload_size", header::PAYLOAD_SIZE, expected, payload_size))
}

/// Where the payload begins, if there can be such.
pub(crate) fn check(payload_size: u64, frame: u32) -> Result<u64, Impossible> {
    slots(payload_size, frame).map(|_| SLOT_WORDS)
}

/// Who may keep how many slots: numbers that do not change in a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    pub(crate) slots: u32,
    pub(crate) seats: u32,
    /// The newest frames, so many, are never written over.
    pub(crate) history: u32,
    /// Frames that each subscriber may hold at once, 1 or more.
    pub(crate) held: u32,
    /// Frames that the publisher may have in hand at once, 1 or more.
    pub(crate) loans: u32,
}

impl Pool {
    /// The fewest slots with which a publisher never runs dry for good: whatever the subscribers hold and the history
    /// keeps, there is one for each frame that it may have in hand.
    pub(crate) fn needed(&self) -> u64 {
        u64::from(self.seats) * u64::from(self.held)
            + u64::from(self.history)
            + u64::from(self.loans)
    }

    /// What cannot be, in these numbers.
    pub(crate) fn check(self) -> Result<Self, Impossible> {
        for (word, place, number) in [("held", HELD, self.held), ("loans", LOANS, self.loans)] {
            if number == 0 {
                return Err((word, place, "1 or more", 0));
            }
        }
        if self.needed() > self.slots.into() {
            let expected = "seats * held + history + loans, or more";
            return Err(("slots", header::PAYLOAD_SIZE, expected, self.slots.into()));
        }
        Ok(self)
    }
}

/// A slot's word: the frame that lies in it in bits 1 to 63, and in bit 0 WRITING: the publisher is about to write
/// over it, or has begun to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotWord(pub(crate) u64);

impl SlotWord {
    /// Nothing was written into it, or nothing that counts.
    pub(crate) const EMPTY: SlotWord = SlotWord(0);
    const WRITING: u64 = 1;

    /// The word of a slot in which this frame lies.
    #[inline(always)]
    pub(crate) const fn holds(sequence: u64) -> Self {
        SlotWord(sequence << 1)
    }

    /// The same with the WRITING mark; it still says which frame it was.
    #[inline(always)]
    pub(crate) const fn writing(self) -> Self {
        SlotWord(self.0 | Self::WRITING)
    }

    /// The frame; 0 for none.
    #[inline(always)]
    pub(crate) const fn sequence(self) -> u64 {
        self.0 >> 1
    }

    pub(crate) const fn is_writing(self) -> bool {
        self.0 & Self::WRITING != 0
    }
}

/// Length, kind and content in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info(pub(crate) u64);

impl Info {
    pub(crate) fn new(len: u32, kind: u16, content: u16) -> Self {
        Info(u64::from(len) | u64::from(kind) << 32 | u64::from(content) << 48)
    }

    pub(crate) fn len(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn kind(self) -> u16 {
        (self.0 >> 32) as u16
    }

    pub(crate) fn content(self) -> u16 {
        (self.0 >> 48) as u16
    }
}

/// What a frame's bytes are, as far as its descriptor says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Images: pixels in a row. Audio: samples of a channel. Batches: records.
    pub width: u32,
    /// Images: rows. Audio: channels. Batches: bytes of a record, 0 if they vary.
    pub height: u32,
    /// Images: bytes from row to row. Audio: samples a second.
    pub stride: u32,
    /// Images and audio: one of [`format`](mod@format), or another four-character code; 0 if it is not said.
    pub format: u32,
    /// The application's own.
    pub user: [u8; 16],
}

impl About {
    pub(crate) fn to_bytes(self) -> [u8; ABOUT_SIZE] {
        let mut bytes = [0; ABOUT_SIZE];
        let words = [self.width, self.height, self.stride, self.format];
        for (word, at) in words.into_iter().zip((0..).step_by(4)) {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[16..].copy_from_slice(&self.user);
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; ABOUT_SIZE]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(word)
        };
        let mut user = [0; 16];
        user.copy_from_slice(&bytes[16..]);
        About {
            width: word(0),
            height: word(4),
            stride: word(8),
            format: word(12),
            user,
        }
    }
}

/// What a frame's bytes can be: the registry of the descriptor's `content`. From 0x8000 on the numbers are the
/// application's own.
pub mod content {
    /// Bytes; nobody says of what.
    pub const BYTES: u16 = 0;
    /// An image of rows of pixels.
    pub const IMAGE: u16 = 1;
    /// Samples of sound, those of one moment side by side.
    pub const AUDIO: u16 = 2;
    /// Records one behind the other.
    pub const BATCH: u16 = 3;
    /// An image or sound as a codec packs it; the format says which one.
    pub const ENCODED: u16 = 4;
    /// Points of a point cloud: width points of stride bytes each.
    pub const POINTS: u16 = 5;
    /// Numbers in one or more dimensions; the application says which.
    pub const TENSOR: u16 = 6;
}

/// Formats of pixels, samples and codecs: four characters, the first in the lowest byte, as in V4L2 and DRM.
pub mod format {
    /// A format's number.
    #[must_use]
    pub const fn code(characters: [u8; 4]) -> u32 {
        u32::from_le_bytes(characters)
    }

    /// 8 bits of grey.
    pub const GREY: u32 = code(*b"GREY");
    /// 16 bits of grey, little-endian.
    pub const GREY_16: u32 = code(*b"Y16 ");
    /// Bytes red, green, blue.
    pub const RGB: u32 = code(*b"RGB3");
    /// Bytes blue, green, red.
    pub const BGR: u32 = code(*b"BGR3");
    /// Bytes red, green, blue, alpha.
    pub const RGBA: u32 = code(*b"AB24");
    /// Bytes blue, green, red, alpha.
    pub const BGRA: u32 = code(*b"AR24");
    /// Bytes Y, U, Y, V for two pixels.
    pub const YUYV: u32 = code(*b"YUYV");
    /// Bytes U, Y, V, Y for two pixels.
    pub const UYVY: u32 = code(*b"UYVY");
    /// A plane of Y, then one of U and V in turn at half the width and height.
    pub const NV12: u32 = code(*b"NV12");
    /// Planes of Y, of U and of V, the last two at half the width and height.
    pub const I420: u32 = code(*b"YU12");
    /// 8 bits a pixel behind a mosaic of blue, green; green, red.
    pub const BAYER_BGGR: u32 = code(*b"BA81");
    /// 8 bits a pixel behind a mosaic of red, green; green, blue.
    pub const BAYER_RGGB: u32 = code(*b"RGGB");
    /// Codec: one JPEG image.
    pub const JPEG: u32 = code(*b"JPEG");
    /// Codec: an access unit of H.264.
    pub const H264: u32 = code(*b"H264");
    /// Codec: an access unit of H.265.
    pub const HEVC: u32 = code(*b"HEVC");
    /// Samples: 16-bit integers, little-endian.
    pub const S16: u32 = code(*b"s16l");
    /// Samples: 32-bit integers, little-endian.
    pub const S32: u32 = code(*b"s32l");
    /// Samples: 32-bit floats, little-endian.
    pub const F32: u32 = code(*b"f32l");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_how_many_slots_there_are() {
        for frame in [1, 127, 128, 4095, 4096, 4097, MAX_FRAME] {
            for number in [2, 3, 64, MAX_SLOTS] {
                assert_eq!(slots(payload_size(number, frame), frame), Ok(number));
            }
            for number in [0, 1, MAX_SLOTS + 1] {
                assert!(slots(payload_size(number, frame), frame).is_err());
            }
            assert!(slots(payload_size(2, frame) + 8, frame).is_err());
        }
        for frame in [0, MAX_FRAME + 1, u32::MAX] {
            assert!(slots(u64::MAX, frame).is_err());
        }
        assert!(slots(0, 1).is_err() && slots(u64::MAX, 1).is_err());
        assert_eq!(stride(6_220_800), 1519 * 4096);
        assert_eq!(stride(1000), 1024);
    }

    #[test]
    fn a_pool_that_cannot_serve_its_seats_is_refused() {
        let pool = Pool {
            slots: 8,
            seats: 2,
            history: 1,
            held: 3,
            loans: 1,
        };
        assert_eq!(pool.check(), Ok(pool));
        for (refused, word) in [
            (Pool { slots: 7, ..pool }, "slots"),
            (Pool { seats: 3, ..pool }, "slots"),
            (Pool { history: 2, ..pool }, "slots"),
            (Pool { loans: 2, ..pool }, "slots"),
            (Pool { held: 4, ..pool }, "slots"),
            (Pool { held: 0, ..pool }, "held"),
            (Pool { loans: 0, ..pool }, "loans"),
            (
                Pool {
                    held: u32::MAX,
                    history: u32::MAX,
                    loans: u32::MAX,
                    ..pool
                },
                "slots",
            ),
        ] {
            assert_eq!(refused.check().unwrap_err().0, word, "{refused:?}");
        }
    }

    #[test]
    fn what_is_said_about_a_frame_survives_the_round_trip() {
        let about = About {
            width: 1920,
            height: 1080,
            stride: 5760,
            format: format::RGB,
            user: *b"sixteen bytes of",
        };
        let bytes = about.to_bytes();
        assert_eq!(About::from_bytes(bytes), about);
        assert_eq!(bytes[12..16], *b"RGB3");
        let info = Info::new(7, 8, content::IMAGE);
        assert_eq!((info.len(), info.kind(), info.content()), (7, 8, 1));
    }
}
