//! A ring's two segments: the owner side with the data, and the peer side with the seats.

use super::{LINE, MAX_SEATS, PAGE, header, round_up, seat};

block! {
    /// The owner side behind its header; offsets from the start of the segment.
    OWNER, "ring, owner side", PAYLOAD_OFFSET;
    /// Where the next record begins, and in bit 0 which of the two counts belongs to it; stored after the
    /// record's header, for joiners, tools and adoption. See [counted positions](crate::protocol::cursor).
    WRITE_SEQ: [8; Owner] = 2 * LINE;
    /// Records committed before the position, if bit 0 is 0.
    WRITE_RECORDS_0: [8; Owner] = 2 * LINE + 8;
    /// Records committed before the position, if bit 0 is 1.
    WRITE_RECORDS_1: [8; Owner] = 2 * LINE + 16;
    /// Consumers sleep on it; bumped when one of them has set its parked word.
    DATA_BELL: [4; Owner] = 3 * LINE;
    /// Not 0 while the producer sleeps until a consumer makes room.
    PRODUCER_PARKED: [4; Owner] = 4 * LINE;
    /// Records refused by the drop-newest policy.
    DROPPED: [8; Owner] = 5 * LINE;
    /// Records committed while no consumer was counted.
    DISCARDED: [8; Owner] = 5 * LINE + 8;
    /// Times a send found no room.
    BLOCKED: [8; Owner] = 5 * LINE + 16;
    /// Nanoseconds spent waiting for room.
    BLOCKED_NS: [8; Owner] = 5 * LINE + 24;
    /// Seats evicted because their holder was dead.
    EVICTIONS: [8; Owner] = 5 * LINE + 32;
    /// Seats evicted because what they claimed was impossible.
    LIES: [8; Owner] = 5 * LINE + 40;
    /// Owners that took over after a death.
    ADOPTIONS: [8; Owner] = 5 * LINE + 48;
    /// Times sleepers were woken.
    WAKES: [8; Owner] = 5 * LINE + 56;
    /// `CLOCK_BOOTTIME` of the last look at the clock that followed a commit, in nanoseconds.
    LAST_UPDATE_NS: [8; Owner] = 5 * LINE + 64;
    /// The last error the owner met, numbered as in `PROTOCOL.md`; 0 for none.
    LAST_ERROR: [8; Owner] = 5 * LINE + 72;
    /// 64 verdicts, one for each seat.
    VERDICTS: [64 * 32; Owner] = 8 * LINE;
}

block! {
    /// What the owner says about one seat.
    VERDICT, "verdict (owner side, one for each seat)", VERDICT_SIZE;
    /// See [`Evicted`].
    EVICTED: [8; Owner] = 0;
    /// Records that evicted holders of this seat left unread, candidate 0.
    LOST_0: [8; Owner] = 8;
    /// Candidate 1; [`Evicted::selector`] says which of the two counts.
    LOST_1: [8; Owner] = 16;
}

/// Bytes of a verdict.
pub(crate) const VERDICT_SIZE: u64 = 32;
/// Where the data begins.
pub(crate) const PAYLOAD_OFFSET: u64 = PAGE;
/// Smallest capacity that a user can ask for.
pub(crate) const MIN_CAPACITY: u64 = PAGE;
/// Largest capacity that a user can ask for.
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;

/// Where the parked words of the peer side begin: one `u32` a seat, all on lines of their own so
/// that a producer sees all of its sleepers in one or two lines.
pub(crate) const PARKED: u64 = header::SIZE;
/// Where the seats begin.
pub(crate) const SEATS: u64 = PARKED + 4 * MAX_SEATS as u64;

/// Bytes of the owner side.
pub(crate) const fn owner_size(capacity: u64) -> u64 {
    PAYLOAD_OFFSET + capacity
}

/// Bytes of the peer side.
pub(crate) const fn peers_size(seats: u32) -> u64 {
    round_up(SEATS + seats as u64 * seat::SIZE, PAGE)
}

/// Offset of the verdict on `seat`.
pub(crate) const fn verdict(seat: u32) -> u64 {
    VERDICTS + seat as u64 * VERDICT_SIZE
}

/// Offset of the parked word of `seat`.
pub(crate) const fn parked(seat: u32) -> u64 {
    PARKED + seat as u64 * 4
}

/// Offset of `seat`.
pub(crate) const fn seat_at(seat: u32) -> u64 {
    SEATS + seat as u64 * seat::SIZE
}

/// The owner's verdict word: which epoch of the seat was evicted, why, and which of the two loss
/// counts is valid, in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evicted(pub(crate) u64);

/// Why a seat was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EvictionReason {
    /// Its holder was dead.
    Dead = 1,
    /// Its words claimed something impossible.
    Lied = 2,
}

impl Evicted {
    pub(crate) fn new(epoch: u64, reason: EvictionReason, selector: u64) -> Self {
        Evicted(epoch << 16 | (reason as u64) << 8 | (selector & 1))
    }

    pub(crate) fn epoch(self) -> u64 {
        self.0 >> 16
    }

    pub(crate) fn reason(self) -> Option<EvictionReason> {
        match self.0 >> 8 & 0xff {
            1 => Some(EvictionReason::Dead),
            2 => Some(EvictionReason::Lied),
            _ => None,
        }
    }

    pub(crate) fn selector(self) -> u64 {
        self.0 & 1
    }
}

const _: () = assert!(VERDICTS + MAX_SEATS as u64 * VERDICT_SIZE <= PAYLOAD_OFFSET);
const _: () = assert!(SEATS.is_multiple_of(LINE) && seat::SIZE.is_multiple_of(LINE));
