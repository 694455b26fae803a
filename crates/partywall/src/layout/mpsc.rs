//! An mpsc channel: the receiver's words, one line a lane, on the owner side; the senders' lanes, each a buffer of
//! records with one writer, on the peer side.
//!
//! ```text
//! owner side   4096                    lane words of seat 0, 1, ...: 128 bytes each
//! peer side    512                     seats
//!              512 + 512 * seats       notices: 4 bytes a seat
//!              65536                   lane of seat 0, and so on, each at a multiple of 65536
//! ```
//! The lanes begin at multiples of 64 KiB so that a sender can map its own and no other writable: that is a
//! multiple of every page, and of what Windows wants. What lies between them is never touched and takes no memory.

use super::geometry::{Geometry, Impossible};
use super::{LINE, MAX_SEATS, PAGE, header, owner, peers, record, round_up, seat};

block! {
    /// What the receiver writes for one lane; offsets from the start of the line.
    LANE, "lane (owner side, one for each seat)", LINE;
    /// Everything before it has been handed out: a counted position.
    LANE_READ_SEQ: [8; Owner] = 0;
    /// Records before it since the channel began, if bit 0 is 0.
    LANE_READ_RECORDS_0: [8; Owner] = 8;
    /// The same if bit 0 is 1.
    LANE_READ_RECORDS_1: [8; Owner] = 16;
    /// See [`LaneState`].
    LANE_STATE: [8; Owner] = 24;
    /// In a generation that another one follows: where the receiver has left the lane, plus 1; 0 before.
    LANE_LEFT: [8; Owner] = 32;
    /// Records that senders refused in the generations before this one, all of which were left.
    LANE_DROPPED: [8; Owner] = 40;
    /// The same of times that a send found no room.
    LANE_BLOCKED: [8; Owner] = 48;
    /// The same of nanoseconds waited for room.
    LANE_BLOCKED_NS: [8; Owner] = 56;
}

block! {
    /// What a sender has in its seat where a consumer of a ring has its cursor; offsets from the start of the seat.
    SENDER, "sender's seat", seat::SIZE;
    /// Records refused by the drop-newest policy.
    DROPPED: [8; Seat] = LINE;
    /// Times a send found no room.
    BLOCKED: [8; Seat] = LINE + 8;
    /// Nanoseconds waited for room.
    BLOCKED_NS: [8; Seat] = LINE + 16;
    /// Where the lane ends, plus 1: what comes after it lies in the next generation. 0: not yet.
    END: [8; Seat] = LINE + 24;
}

/// Where the lanes' lines begin on the owner side.
pub(crate) const LANE_WORDS: u64 = owner::SIZE;
/// Where the lanes begin on the peer side; each at a multiple of this.
pub(crate) const LANES: u64 = peers::HEAD;
/// Smallest lane, in bytes.
pub(crate) const MIN_LANE: u64 = PAGE;
/// Largest lane, in bytes. A notice is a position modulo eight times this.
pub(crate) const MAX_LANE: u64 = 1 << 32;
/// Bytes that stay free behind every record: the next header, and BYE, so that closing never waits.
pub(crate) const RESERVE: u64 = 16;

/// The largest payload in a lane of so many bytes. Eight bytes less than in a ring of that size, for a record must
/// always find room once everything before it was read: behind HELLO and padding, with [`RESERVE`] left.
pub(crate) const fn max_payload(lane: u64) -> u64 {
    record::max_payload(lane) - record::HEADER
}

/// What senders count in their seats, each with where the receiver keeps what was counted in generations before.
pub(crate) const COUNTED: [(u64, u64); 3] = [
    (DROPPED, LANE_DROPPED),
    (BLOCKED, LANE_BLOCKED),
    (BLOCKED_NS, LANE_BLOCKED_NS),
];

/// Offset of a lane's line on the owner side.
pub(crate) const fn lane_words(seat: u32) -> u64 {
    LANE_WORDS + seat as u64 * LINE
}

/// Offset of the notices on the peer side.
pub(crate) const fn notices(seats: u32) -> u64 {
    peers::SEATS + seats as u64 * seat::SIZE
}

/// Offset of a seat's notice on the peer side.
pub(crate) const fn notice(seats: u32, seat: u32) -> u64 {
    notices(seats) + 4 * seat as u64
}

/// The notice of a sender that has committed everything before `position`: changed by every commit, for a lane is
/// far smaller than what it counts.
#[inline(always)]
pub(crate) const fn notice_of(position: u64) -> u32 {
    (position / 8) as u32
}

/// The notice of a lane that ends at `position`: another one than before, for nothing is committed with it. Half the
/// numbers away, which is further than a whole lane: whatever the receiver saw last, this is something else.
pub(crate) const fn notice_of_end(position: u64) -> u32 {
    notice_of(position) ^ 1 << 31
}

/// What [`LANE_LEFT`] and [`END`] say of a position.
pub(crate) const fn end_word(position: u64) -> u64 {
    position | 1
}

/// The position in such a word; `None` for 0.
pub(crate) const fn end_of(word: u64) -> Option<u64> {
    match word {
        0 => None,
        // Positions are multiples of 8. Another word is nobody's end, and is found out like any lie.
        _ => Some(word.wrapping_sub(1)),
    }
}

/// Offset of a lane in the file of the peer side.
pub(crate) const fn lane_at(lane: u64, seat: u32) -> u64 {
    LANES + seat as u64 * round_up(lane, LANES)
}

const fn reserved(seats: u32) -> u64 {
    round_up(notices(seats) + 4 * seats as u64, PAGE)
}

fn check(lane: u64) -> Result<(), Impossible> {
    if lane.is_power_of_two() && (MIN_LANE..=MAX_LANE).contains(&lane) {
        return Ok(());
    }
    let expected = "a power of two from 4 KiB to 4 GiB";
    Err(("payload_size", header::PAYLOAD_SIZE, expected, lane))
}

/// The owner side of a channel with lanes of so many bytes, without a schema.
pub(crate) fn owner_side(lane: u64, seats: u32) -> Result<Geometry, Impossible> {
    check(lane)?;
    let total_size = round_up(lane_words(seats), PAGE);
    Ok(Geometry {
        payload_offset: LANE_WORDS,
        payload_size: lane,
        total_size,
        reserved: total_size,
    })
}

/// The peer side.
pub(crate) fn peer_side(lane: u64, seats: u32) -> Result<Geometry, Impossible> {
    check(lane)?;
    Ok(Geometry {
        payload_offset: LANES,
        payload_size: lane,
        total_size: lane_at(lane, seats),
        reserved: reserved(seats),
    })
}

/// How far the receiver has come with the holders of a seat: an epoch in the upper 48 bits, OPEN in bit 0, CUT in
/// bit 1. Zero: nobody has ever been there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneState(pub(crate) u64);

impl LaneState {
    const OPEN: u64 = 1;
    const CUT: u64 = 2;

    /// The holder of that epoch was told of, and not yet its end.
    pub(crate) fn open(epoch: u64) -> Self {
        LaneState(epoch << 16 | Self::OPEN)
    }

    /// Its end was told of too.
    pub(crate) fn ended(epoch: u64) -> Self {
        LaneState(epoch << 16)
    }

    /// What stands in the lane cannot be read on. `epoch` is the one in the seat's state: its next holder
    /// begins anew at the receiver's position.
    pub(crate) fn cut(epoch: u64) -> Self {
        LaneState(epoch << 16 | Self::CUT)
    }

    #[inline(always)]
    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 16
    }

    #[inline(always)]
    pub(crate) fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    #[inline(always)]
    pub(crate) fn is_cut(self) -> bool {
        self.0 & Self::CUT != 0
    }

    /// Whether a receiver writes such a word.
    pub(crate) fn is_known(self) -> bool {
        self.0 & 0xfffc == 0 && self.0 & 3 != 3
    }
}

const _: () = assert!(reserved(MAX_SEATS) <= LANES);
const _: () = assert!(MAX_LANE <= 1 << 32 && MIN_LANE >= PAGE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_lie_where_the_document_says() {
        assert_eq!(notices(3), 512 + 512 * 3);
        assert_eq!(notice(3, 2), 512 + 512 * 3 + 8);
        assert_eq!(lane_words(2), 4096 + 2 * 128);
        assert_eq!(lane_at(4096, 2), 65536 + 2 * 65536);
        assert_eq!(lane_at(1 << 20, 2), 65536 + (2 << 20));
        let peers = peer_side(4096, 64).unwrap();
        assert_eq!((peers.payload_offset, peers.payload_size), (65536, 4096));
        assert_eq!(peers.total_size, 65536 + 64 * 65536);
        assert_eq!(peers.reserved, (512 + 516 * 64_u64).next_multiple_of(4096));
        let owner = owner_side(4096, 33).unwrap();
        assert_eq!(owner.total_size, 4096 + 2 * 4096);
        for lane in [0, 2048, 5000, 1 << 33] {
            assert!(owner_side(lane, 1).is_err() && peer_side(lane, 1).is_err());
        }
    }

    #[test]
    fn every_commit_changes_the_notice() {
        // From one header to a whole lane, from any position.
        for position in [0, 8, u64::from(u32::MAX) * 8, !7] {
            for bytes in [8, 16, MAX_LANE - 16, MAX_LANE] {
                let end = position.wrapping_add(bytes);
                assert_ne!(notice_of(position), notice_of(end));
            }
        }
    }

    #[test]
    fn an_end_changes_the_notice_and_says_where() {
        for position in [0, 8, u64::from(u32::MAX) * 8, !7] {
            assert_ne!(notice_of_end(position), notice_of(position));
            assert_eq!(end_of(end_word(position)), Some(position));
        }
        assert_eq!(end_of(0), None);
    }

    #[test]
    fn a_lane_word_says_what_it_was_made_of() {
        for epoch in [0, 1, u64::MAX >> 16] {
            let (open, ended, cut) = (
                LaneState::open(epoch),
                LaneState::ended(epoch),
                LaneState::cut(epoch),
            );
            for state in [open, ended, cut] {
                assert!(state.is_known() && state.epoch() == epoch);
                assert_eq!(state.is_open(), state == open);
                assert_eq!(state.is_cut(), state == cut);
            }
        }
        assert!(!LaneState(3).is_known() && !LaneState(4).is_known());
    }
}
